"""Answers to cdk-nag's findings: each names one rule and the reason why it does not apply."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import Construct

TRACING = "X-Ray has no resources to name."


def acknowledge(scope: Construct, rule: str, reason: str) -> None:
    """Answer the finding of one rule, such as `SQS3`, on everything below `scope`."""
    Validations.of(scope).acknowledge(Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=reason))


def acknowledge_wildcards(scope: Construct, reasons: Mapping[str, str]) -> None:
    """Answer for each ARN with a wildcard in the policies below `scope`; other ARNs need no answer."""
    for arn, reason in reasons.items():
        readable = _readable(Stack.of(scope).resolve(arn))
        if "*" in readable:
            acknowledge(scope, f"IAM5[Resource::{readable}]", reason)


def _readable(resolved: Any) -> str:
    """An ARN the way cdk-nag writes it: references in angle brackets."""
    match resolved:
        case {"Fn::Join": [_, parts]}:
            return "".join(_readable(part) for part in parts)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Ref": name}:
            return f"<{name}>"
        case _:
            return str(resolved)
