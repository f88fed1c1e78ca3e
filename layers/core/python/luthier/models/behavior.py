"""A behaviour spec: what a model is told of how to behave before every conversation. Pure.

It is the JSON text of `metadata.behavior_spec`, or a file like `tunedtensor.json`, of which it reads system_prompt,
guidelines and constraints; compiled as that surface's documentation says.
"""

import json
from typing import Any

from luthier.errors import InvalidRequest

KEY = "behavior_spec"
MOST_CHARACTERS = 16_384
# Of any other value of a model's metadata.
LONGEST_VALUE = 256
_LISTS = ("guidelines", "constraints")


class BadSpec(ValueError):
    """The text is no spec; the message says what it must be."""


def check_metadata(metadata: dict[str, str]) -> None:
    """Raises InvalidRequest for the first value that is too long, and for a spec that is none."""
    for key, value in metadata.items():
        most = MOST_CHARACTERS if key == KEY else LONGEST_VALUE
        if len(value) > most:
            message = f"metadata.{key} has {len(value)} characters; it may have {most}."
            raise InvalidRequest(message, param=f"metadata.{key}", remedy="Shorten it.")
    try:
        compiled(metadata.get(KEY) or "{}")
    except BadSpec as error:
        param = f"metadata.{KEY}"
        raise InvalidRequest(f"{param}: {error}", param=param, remedy="Send a behaviour spec as JSON.") from None


def compiled(text: str) -> str | None:
    """The system prompt of a spec's JSON text: its system prompt, `Guidelines:` and `Constraints:`, those that are not
    empty, one blank line between them; None where all are. Raises BadSpec.
    """
    spec = _read(text)
    prompt = (spec.get("system_prompt") or "").strip()
    lists = (_listed(name.capitalize(), spec.get(name) or []) for name in _LISTS)
    return "\n\n".join(part for part in (prompt, *lists) if part) or None


def applied(prompt: str | None, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a request behind a spec's prompt. One system message: not every chat template takes two."""
    if not prompt:
        return messages
    first, rest = (messages[0], messages[1:]) if messages else ({}, [])
    if first.get("role") != "system":
        return [{"role": "system", "content": prompt}, *messages]
    return [first | {"content": f"{prompt}\n\n{first.get('content') or ''}".strip()}, *rest]


def _listed(title: str, points: list[str]) -> str:
    return "\n".join([f"{title}:", *(f"- {point}" for point in points)]) if points else ""


def _read(text: str) -> dict[str, Any]:
    try:
        spec = json.loads(text)
    except ValueError as error:
        raise BadSpec(f"It must be a JSON object, and is no JSON: {error}.") from None
    if not isinstance(spec, dict):
        raise BadSpec("It must be a JSON object.")
    if not isinstance(spec.get("system_prompt") or "", str):
        raise BadSpec("Its system_prompt must be a string.")
    for name in _LISTS:
        points = spec.get(name) or []
        if not isinstance(points, list) or not all(isinstance(point, str) for point in points):
            raise BadSpec(f"Its {name} must be a list of strings.")
    return spec
