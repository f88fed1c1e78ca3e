"""Reading a multipart/form-data body."""

from dataclasses import dataclass
from typing import Any

from luthier.errors import InvalidRequest


@dataclass(frozen=True)
class Form:
    """Text parts by name, and (filename, content) of file parts by name."""

    fields: dict[str, str]
    files: dict[str, tuple[str, bytes]]


def read_form(content_type: str, body: bytes) -> Form:
    """The parts of a whole body. Raises InvalidRequest when it is cut off or is no multipart body at all."""
    from python_multipart import FormParser
    from python_multipart.exceptions import FormParserError

    boundary = _boundary(content_type)
    if not body.rstrip().endswith(b"--" + boundary + b"--"):
        raise _damaged("its closing boundary is missing")
    fields: list[Any] = []
    files: list[Any] = []
    in_memory = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
    parser = FormParser("multipart/form-data", fields.append, files.append, boundary=boundary, config=in_memory)
    try:
        parser.write(body)
        parser.finalize()
        return Form({_name(part): (part.value or b"").decode() for part in fields}, dict(map(_file, files)))
    except (FormParserError, UnicodeDecodeError) as fault:
        raise _damaged(str(fault)) from None


def _boundary(content_type: str) -> bytes:
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(content_type)
    if kind == b"multipart/form-data" and options.get(b"boundary"):
        return options[b"boundary"]
    raise InvalidRequest(
        f"The body is {kind.decode() or 'of no stated type'}, not multipart/form-data with a boundary.",
        code="invalid_multipart",
        remedy="Send it as `curl -F purpose=fine-tune -F file=@train.jsonl` does.",
    )


def _name(part: Any) -> str:
    return (part.field_name or b"").decode()


def _file(part: Any) -> tuple[str, tuple[str, bytes]]:
    part.file_object.seek(0)
    return _name(part), ((part.file_name or b"").decode(), part.file_object.read())


def _damaged(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"The multipart body cannot be read: {why}.", code="invalid_multipart", remedy="Send it again."
    )
