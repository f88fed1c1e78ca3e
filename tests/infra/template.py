"""Reading a synthesized template."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

Resource = dict[str, Any]


class Template:
    """A CloudFormation template by what it says, whatever the logical ids are called."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.resources: dict[str, Resource] = document["Resources"]

    def of_type(self, kind: str) -> dict[str, Resource]:
        """Properties by logical id of the resources of one type, such as `AWS::S3::Bucket`."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def one(self, kind: str) -> Resource:
        [properties] = self.of_type(kind).values()
        return properties

    def named(self, kind: str, start: str) -> Resource:
        """Properties of the one resource of this type whose logical id begins with `start`."""
        [found] = [properties for name, properties in self.of_type(kind).items() if name.startswith(start)]
        return found

    def function(self, name: str) -> Resource:
        """Properties of the function `<folder>.<name>`; the handler of one that streams is another program."""
        described = f"Luthier: {name.replace('.', '/')}"
        return next(row for row in self.of_type("AWS::Lambda::Function").values() if row["Description"] == described)

    def statements(self, role: Resource) -> list[Resource]:
        """The statements of a role's inline policies, with actions and resources as lists."""
        documents = [policy["PolicyDocument"] for policy in role.get("Policies", [])]
        return [_listed(statement) for document in documents for statement in document["Statement"]]

    def role_of(self, name: str) -> Resource:
        """Properties of the role that the function works under."""
        return self.resources[self.function(name)["Role"]["Fn::GetAtt"][0]]["Properties"]

    def all_statements(self) -> Iterator[tuple[str, Resource]]:
        """Every statement that gives a role of ours a permission, with the role's logical id."""
        for name, role in self.of_type("AWS::IAM::Role").items():
            for statement in self.statements(role):
                yield name, statement


def text(value: Any) -> str:
    """A template value as one line, references in angle brackets: `arn:<AWS::Partition>:s3:::x`."""
    match value:
        case {"Fn::Join": [_, parts]}:
            return "".join(text(part) for part in parts)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Ref": name}:
            return f"<{name}>"
        case str():
            return value
        case _:
            return json.dumps(value, sort_keys=True)


def allowed(statements: Sequence[Resource], action: str) -> list[str]:
    """The resources that the statements allow an action on."""
    return [resource for statement in statements if action in statement["Action"] for resource in statement["Resource"]]


def _listed(statement: Resource) -> Resource:
    action, resource = statement["Action"], statement["Resource"]
    return statement | {
        "Action": [action] if isinstance(action, str) else action,
        "Resource": [text(one) for one in (resource if isinstance(resource, list) else [resource])],
    }
