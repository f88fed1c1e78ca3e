"""What request and answer models of every surface have in common."""

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

# Ids, names and references in characters. DynamoDB takes 1,024 bytes of a sort key, and a character has up to four.
LONGEST_NAME = 240


def _without_control_characters(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("characters", "Input should hold printable characters only")
    return text


def _of_text(text: str) -> str:
    if any(unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\r\t" for one in text):
        raise PydanticCustomError("characters", "Input should hold text only, no control characters")
    return text


# What people call something.
Called = Annotated[str, AfterValidator(_without_control_characters)]
# What people say of something, in as many lines as they like.
Told = Annotated[str, AfterValidator(_of_text)]

_OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


def form(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's words for a body of multipart/form-data."""
    schema = {"type": "object", "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def openai_error(status: int, code: str, message: str, param: str | None) -> dict[str, Any]:
    """OpenAI's error object: all four keys, always."""
    kind = "server_error" if status >= 500 else _OPENAI_TYPES.get(status, "invalid_request_error")
    return {"message": message, "type": kind, "param": param, "code": code}


class Request(BaseModel):
    """A body as a client sends it: no unknown field, no guessing of types ("3" is not 3)."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class Answer(BaseModel):
    """A body as a client receives it. Keys that have no value yet are sent as null, never left out."""

    model_config = ConfigDict(defer_build=True, from_attributes=True)


class CamelRequest(Request):
    model_config = ConfigDict(alias_generator=to_camel)


class CamelAnswer(Answer):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)
