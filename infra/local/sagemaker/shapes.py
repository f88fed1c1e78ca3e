"""Requests checked against SageMaker's published service model, with the service's own messages."""

import functools
import re
from collections.abc import Iterator
from typing import Any

import botocore.session
from botocore.model import Shape

from infra.local.sagemaker.errors import invalid

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,), "map": (dict,), "list": (list,), "string": (str,), "boolean": (bool,),
    "integer": (int,), "long": (int,), "float": (int, float), "double": (int, float), "timestamp": (int, float, str),
}  # fmt: skip


@functools.cache
def service_model(service: str = "sagemaker") -> Any:
    """botocore's description of the service."""
    return botocore.session.get_session().get_service_model(service)


def check_request(operation: str, request: dict[str, Any], service: str = "sagemaker") -> None:
    """Raise ValidationException with every breach of the operation's input shape, as the service lists them."""
    breaches = list(_breaches(service_model(service).operation_model(operation).input_shape, request, ""))
    if breaches:
        noun = "error" if len(breaches) == 1 else "errors"
        raise invalid(f"{len(breaches)} validation {noun} detected: " + "; ".join(breaches))


def unknown_members(operation: str, request: dict[str, Any]) -> list[str]:
    """Top-level names that the operation does not have."""
    return sorted(set(request) - set(service_model().operation_model(operation).input_shape.members))


def _breaches(shape: Shape, value: Any, path: str) -> Iterator[str]:
    kinds = _PYTHON_TYPES.get(shape.type_name)
    if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must be of type {shape.type_name}"
        return
    yield from _bounds(shape, value, path)
    if shape.type_name == "structure":
        yield from _structure(shape, value, path)
    elif shape.type_name == "list":
        for number, item in enumerate(value, 1):
            yield from _breaches(shape.member, item, f"{path}.{number}.member")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _breaches(shape.key, key, path)
            yield from _breaches(shape.value, item, f"{path}.{key}.member")


def _structure(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"Value null at '{_joined(path, name)}' failed to satisfy constraint: Member must not be null"
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _breaches(member, value[name], _joined(path, name))


def _joined(path: str, name: str) -> str:
    name = name[0].lower() + name[1:]
    return f"{path}.{name}" if path else name


def _bounds(shape: Shape, value: Any, path: str) -> Iterator[str]:
    rules = shape.metadata
    failed = f"Value '{value}' at '{path}' failed to satisfy constraint: Member must"
    sized = isinstance(value, str | list | dict)
    measure = len(value) if sized else value
    word = "length" if sized else "value"
    if "min" in rules and measure < rules["min"]:
        yield f"{failed} have {word} greater than or equal to {rules['min']}"
    if "max" in rules and measure > rules["max"]:
        yield f"{failed} have {word} less than or equal to {rules['max']}"
    if "enum" in rules and value not in rules["enum"]:
        yield f"{failed} satisfy enum value set: [{', '.join(rules['enum'])}]"
    if "pattern" in rules and not _matches(rules["pattern"], value):
        yield f"{failed} satisfy regular expression pattern: {rules['pattern']}"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:  # a Java pattern that Python cannot read
        return True
