"""What a job is to be: from a TOML or JSON file, and from options, which go before it."""

import json
import tomllib
from pathlib import Path
from typing import Any

from luthier.cli.stop import Stop
from luthier.client.names import snake

# The words of the file beside those of the API.
_SHORT = {"data": "training_dataset", "validation": "validation_file"}
_KNOWN = (
    "name", "base_model", "training_dataset", "description", "validation_file", "hyperparameters", "suffix", "hardware",
    "method", "exports", "evaluation", "max_cost",
)  # fmt: skip


def order(file: Path | None, options: dict[str, Any], hyperparameters: list[str]) -> dict[str, Any]:
    """The fields of a job. Raises Stop where one is unknown, or one that must be there is missing."""
    fields = (_read(file) if file else {}) | options
    if hyperparameters:
        fields["hyperparameters"] = {**fields.get("hyperparameters", {}), **dict(map(_pair, hyperparameters))}
    for name, option in (("base_model", "--base-model"), ("training_dataset", "--data")):
        if not fields.get(name):
            raise Stop(f"{name} is missing.", f"Give {option}, or {name} in a file with --file.")
    data = str(fields["training_dataset"])
    return {"name": fields.get("suffix") or Path(data).stem, **fields}


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise Stop(f"{file} cannot be read: {error}.", "Write TOML, or JSON into a file that ends in .json.") from None
    if not isinstance(content, dict):
        raise Stop(f"{file} must hold one object.", "Write the fields of one job.")
    fields = {_SHORT.get(snake(name), snake(name)): value for name, value in content.items()}
    if unknown := sorted(fields.keys() - set(_KNOWN)):
        raise Stop(f"{file} has the unknown field {unknown[0]}.", f"A job has {', '.join(_KNOWN)}.")
    return fields


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise Stop(f"-p {text} names no value.", "Write it as -p epochs=3.")
    try:
        return snake(name), json.loads(value)
    except ValueError:
        return snake(name), value
