"""Writes luthier/client/api from functions/api/openapi.json: `python -m infra.build_client`, or `make client`.

One module per resource, with its methods and the models that it is the first to answer. A generator of models such as
datamodel-code-generator would leave the methods to be written, which are most of it; both are read off the document.
"""

import json
import keyword
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from infra.client_names import AWAITED, BASES, RESOURCES
from luthier.client.names import snake

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "layers" / "core" / "python" / "luthier" / "client" / "api"
PACKAGE = "luthier.client.api"
DOCUMENT: dict[str, Any] = json.loads((ROOT / "functions" / "api" / "openapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
# Keys that wrap the one object of an answer.
WRAPPERS = ("deployment", "comparison", "data")
# What a list's answer may hold beside its rows.
_BESIDE_ROWS = {"object", "has_more", "hasMore", "first_id", "last_id", "lastId", "total", "count", "limit", "offset"}
_BESIDE_ROWS |= {"pagination"}
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_RAW = "get_content"


def rendered() -> dict[str, str]:
    """File name → text of every module, the same for the same document."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in Client().modules():
            Path(folder, name).write_text(text)
        formatter = [sys.executable, "-m", "ruff", "format", "-q", "--config", str(ROOT / "pyproject.toml")]
        subprocess.run([*formatter, folder], check=True)
        return {path.name: path.read_text() for path in sorted(Path(folder).glob("*.py"))}


class Client:
    """The modules, in the order of the resources; `homes`: schema → the module that holds its model."""

    def __init__(self) -> None:
        self.homes: dict[str, str] = {}

    def modules(self) -> Iterator[tuple[str, str]]:
        yield "__init__.py", '"""The methods of the clients and what they answer, generated from openapi.json."""\n'
        for resource in RESOURCES:
            yield f"{_module(resource)}.py", self._module(resource)
        yield "root.py", _whole("", [], list(_class("", [])))

    def _module(self, resource: str) -> str:
        methods = [method for name, operation in RESOURCES[resource].items() for method in _method(name, operation)]
        needed = [schema for operation in RESOURCES[resource].values() if (schema := answer_of(operation).schema)]
        if base := BASES.get(resource):
            needed += [base.thing] if base.thing else []
        known = dict(self.homes)
        models = [line for schema in needed for line in self._models(schema, _module(resource))]
        elsewhere = [(f"{PACKAGE}.{module}", name) for name, module in known.items()]
        return _whole(resource, elsewhere, [*models, "", *_class(resource, methods)])

    def _models(self, schema: str, module: str) -> Iterator[str]:
        """The models of a schema and of all that it holds, what is needed first first."""
        if schema in self.homes:
            return
        self.homes[schema] = module
        for inner in references_in(SCHEMAS[schema]):
            yield from self._models(inner, module)
        yield from _model(schema)


def _module(resource: str) -> str:
    return resource.replace(".", "_")


def _class_name(resource: str) -> str:
    words = re.split(r"[._]", resource.rpartition(".")[2])
    return "".join(word.title() for word in words) + "Resource" if resource else "Root"


_NAMES = [
    *[("collections.abc", name) for name in ("Mapping", "Sequence")],
    ("functools", "cached_property"),
    *[("typing", name) for name in ("Any", "ClassVar", "Literal")],
    *[("luthier.client.answers", name) for name in ("Answer", "Awaited", "CamelAnswer", "Open")],
    ("luthier.client.core", "Mode"),
    *[("luthier.client.resources", name) for name in ("OMIT", "Resource", "call", "listing")],
    *sorted({(f"luthier.client.{base.module}", base.name) for base in BASES.values()}),
]


def _whole(resource: str, elsewhere: list[tuple[str, str]], lines: list[str]) -> str:
    """A module: its lines under the imports of the names that they use."""
    children = children_of(resource)
    # Not what is only said: comments have none, and texts are quoted.
    text = "\n".join(lines)
    code = re.sub(r'""".*?"""|"[^"]*"|\'[^\']*\'', "", text, flags=re.DOTALL)
    used = [row for row in [*_NAMES, *elsewhere] if re.search(rf"\b{row[1]}\b", code)]
    used += [("typing", "TYPE_CHECKING")] if children else []
    path = f"client.{resource}" if resource else "client"
    standard, ours = (_imports(row for row in used if row[0].startswith("luthier") is own) for own in (False, True))
    head = [
        f'"""`{path}`, generated by `make client` from openapi.json and client_names.py."""',
        "",
        '# mypy: disable-error-code="empty-body"',
        "",
        "from __future__ import annotations",
        "",
        *([*standard, ""] if standard else []),
        *ours,
    ]
    if children:
        head += ["", "if TYPE_CHECKING:"]
        head += [f"    from {PACKAGE}.{_module(child)} import {_class_name(child)}" for child in sorted(children)]
    return "\n".join([*head, "", "", text, ""])


def _imports(used: Iterable[tuple[str, str]]) -> list[str]:
    modules: dict[str, list[str]] = {}
    # In ruff's order: constants, classes, functions.
    for module, name in sorted(set(used), key=lambda row: (row[0], not row[1].isupper(), row[1])):
        modules.setdefault(module, []).append(name)
    return [f"from {module} import {', '.join(names)}" for module, names in modules.items()]


def children_of(resource: str) -> list[str]:
    return [one for one in RESOURCES if one.rpartition(".")[0] == resource]


def _class(resource: str, methods: list[str]) -> Iterator[str]:
    base = BASES.get(resource)
    of = f"{base.name}[Mode{', ' + base.thing if base.thing else ''}]" if base else "Resource[Mode]"
    ends = f', ended="{base.ended}", failed="{base.failed}"' if base and base.ended else ""
    yield f"class {_class_name(resource)}({of}{ends}):"
    yield f'    """`client.{resource}`"""' if resource else '    """What both clients hold."""'
    for child in children_of(resource):
        name = _class_name(child)
        yield from ("", "    @cached_property", f"    def {child.split('.')[-1]}(self) -> {name}[Mode]:")
        yield f"        from {PACKAGE}.{_module(child)} import {name}"
        yield f"        return {name}(self._core)"
    yield from methods


class _Answer:
    """What an operation answers: the model's schema, or a plain type; `rows`, `wrapper`: the key around it."""

    def __init__(self, schema: str = "", kind: str = "Open", rows: str = "", wrapper: str = "") -> None:
        self.schema, self.kind, self.rows, self.wrapper = schema, schema or kind, rows, wrapper


def answer_of(operation_id: str) -> _Answer:
    method, _, operation = OPERATIONS[operation_id]
    if operation_id == _RAW:
        return _Answer(kind="bytes")
    if "stream" in _properties(body_of(operation)):
        return _Answer(kind="Any")
    good = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
    schema = good.get("content", {}).get("application/json", {}).get("schema", {})
    name = reference_in(schema)
    if not name:
        return _Answer(kind="None" if schema.get("type") == "null" or not schema else "Open")
    properties = SCHEMAS[name]["properties"]
    rows = [key for key, row in properties.items() if row.get("type") == "array" and reference_in(row["items"])]
    if method == "GET" and len(rows) == 1 and set(properties) - set(rows) <= _BESIDE_ROWS:
        return _Answer(reference_in(properties[rows[0]]["items"]), rows=rows[0])
    if len(properties) == 1 and (only := next(iter(properties))) in WRAPPERS and reference_in(properties[only]):
        return _Answer(reference_in(properties[only]), wrapper=only)
    return _Answer(name)


def _method(name: str, operation_id: str) -> Iterator[str]:
    method, path, operation = OPERATIONS[operation_id]
    answer, body = answer_of(operation_id), body_of(operation)
    parameters = operation.get("parameters", [])
    camel = [p["name"] for p in parameters if p["in"] == "query" and snake(p["name"]) != p["name"]]
    camel += _camel(body)
    # A line takes so many of them.
    pieces = textwrap.wrap(" ".join(camel), 90)
    pieces[:-1] = [f"{piece} " for piece in pieces[:-1]]
    options = [f"camel={' '.join(map(repr, pieces))}"] if camel else []
    if answer.rows:
        yield from ("", f"    @listing({', '.join([repr(path), repr(answer.rows), *options])})")
    else:
        options += ["query=True"] if not body and method not in ("GET", "DELETE") else []
        options += [f"answer={answer.wrapper!r}"] if answer.wrapper else []
        yield from ("", f"    @call({', '.join([repr(method), repr(path), *options])})")
    places = [f"{part}: str" for part in re.findall(r"{(\w+)}", path)]
    fields = [_parameter(p["name"], p["schema"], p.get("required", False)) for p in parameters if p["in"] == "query"]
    required = body.get("required", [])
    fields += [_parameter(key, field, key in required) for key, field in _properties(body).items()]
    fields += ["idempotency_key: str = OMIT"] if any(p["in"] == "header" for p in parameters) else []
    given = ", ".join(["self", *places, *(["*", *fields] if fields else [])])
    yield f"    def {name}({given}) -> {answer.kind}:"
    yield f'        """{operation["summary"]}."""'
    yield "        ..."


def _parameter(name: str, schema: dict[str, Any], required: bool) -> str:
    return f"{_python(name)}: {_type(schema, sent=True)}{'' if required else ' = OMIT'}"


def _python(name: str) -> str:
    return f"{snake(name)}_" if keyword.iskeyword(name) else snake(name)


def body_of(operation: dict[str, Any]) -> dict[str, Any]:
    """The schema of the JSON body, {} where there is none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return SCHEMAS[name] if (name := reference_in(content.get("schema", {}))) else {}


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema.get("properties", {})
    return found


def _camel(schema: dict[str, Any], place: str = "") -> list[str]:
    """The dotted camelCase names of a body. Hyperparameters are rows of a table, each named as the route spells it."""
    found = []
    for name, field in _properties(schema).items():
        found += [f"{place}{name}"] if snake(name) != name else []
        if name == "hyperparameters" and not list(references_in(field)):
            found.append(f"{place}{name}.*")
        for inner in references_in(field):
            found += _camel(SCHEMAS[inner], f"{place}{name}.")
    return list(dict.fromkeys(found))


def _model(schema: str) -> Iterator[str]:
    described = SCHEMAS[schema]
    fields = described.get("properties", {})
    camel = any(snake(name) != name for name in fields)
    bases = (["Awaited"] if schema in AWAITED else []) + ["CamelAnswer" if camel else "Answer"]
    yield from ("", f"class {schema}({', '.join(bases)}):")
    if said := described.get("description"):
        yield textwrap.indent(f'"""{said}"""', "    ")
    if schema in AWAITED:
        home, key = AWAITED[schema]
        yield f'    _home: ClassVar[str] = "{home}"'
        yield f'    _key: ClassVar[str] = "{key}"'
    for name, field in fields.items():
        kind, default = _type(field, sent=False), ""
        # The objects inside an answer are always there.
        if name not in described.get("required", []) and not isinstance(field.get("default"), dict):
            default = f" = {field.get('default')!r}"
            kind += " | None" if field.get("default") is None and "None" not in kind and kind != "Any" else ""
        yield f"    {_python(name)}: {kind}{default}"
    if not fields and not said:
        yield "    pass"


def _type(schema: dict[str, Any], *, sent: bool) -> str:
    """Answers know no closed sets, so that a newer server's words do not break an older client."""
    if name := re.fullmatch(r"#/components/schemas/(\w+)", schema.get("$ref", "")):
        return "Mapping[str, Any]" if sent else name[1]
    if options := schema.get("anyOf"):
        return " | ".join(dict.fromkeys(_type(option, sent=sent) for option in options))
    if sent and "enum" in schema:
        return f"Literal[{', '.join(repr(word) for word in schema['enum'])}]"
    kind = schema.get("type")
    if kind == "array":
        inner = _type(schema.get("items", {}), sent=sent)
        return f"Sequence[{inner}]" if sent else f"list[{inner}]"
    if kind == "object":
        more = schema.get("additionalProperties")
        inner = _type(more, sent=sent) if isinstance(more, dict) else "Any"
        return f"{'Mapping' if sent else 'dict'}[str, {inner}]"
    return _PLAIN.get(kind or "", "Any")


def reference_in(schema: dict[str, Any]) -> str:
    """The name of the one schema that is meant, also where null may stand for it."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    return options[0]["$ref"].rpartition("/")[2] if len(options) == 1 and "$ref" in options[0] else ""


def references_in(schema: dict[str, Any]) -> Iterator[str]:
    yield from dict.fromkeys(re.findall(r"#/components/schemas/(\w+)", json.dumps(schema)))


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    modules = rendered()
    for path in FOLDER.glob("*.py"):
        if path.name not in modules:
            path.unlink()
    for name, text in modules.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    write()
