"""Megabytes per second of the dataset validator, as a ratio to `json.loads` and pydantic with the same report.

Both read the same files from memory in chunks of 1 MiB, on one thread, and their reports must be equal before any time
counts: every finding's line, code, pointer and level, and all counts; the wording of messages is not compared.
Measured in turns, in processor time, best of the runs.

reference  one readable loop: lines from `splitlines`, `json.loads` with a hook that finds a key twice, a strict
           pydantic model per row whose `pattern` (Rust) refuses control characters, `set` for duplicates, the
           validator's own patterns for secrets, sha256 per chunk. Whatever is wrong in a line costs it an exception.
structure  the same without duplicates and secrets, on both sides
"""

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal
from unittest import mock

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from luthier.datasets.report import Report, examine
from luthier.datasets.secret_patterns import secrets_in

_CHUNK = 1 << 20
_FILE_BYTES = 8_000_000
ROW_BYTES = (200, 1_000, 4_000)


def main(runs: int) -> None:
    print(f"{'rows':24s} {'report':10s} {'ours MB/s':>10s} {'reference MB/s':>15s} {'ratio':>6s}")
    for name, content in files().items():
        _require_equal(name, content)
        _measure(name, "whole", content, runs)
        with _structure_only():
            _measure(name, "structure", content, runs)


def files() -> dict[str, bytes]:
    """Clean files of three row sizes, and one that every thousandth line or so spoils."""
    made = {f"{size} B": _file(_FILE_BYTES // size, size) for size in ROW_BYTES}
    made["1000 B, ASCII escapes"] = _file(_FILE_BYTES // 1_000, 1_000, ascii_only=True)
    made["1000 B, own columns"] = _file(_FILE_BYTES // 1_000, 1_000, extra={"id": 7, "source": "wiki"})
    made["1000 B, seeded faults"] = _spoiled(made["1000 B"])
    return made


def _measure(name: str, report: str, content: bytes, runs: int) -> None:
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(_seconds(lambda: examine(_chunks(content))))
        theirs.append(_seconds(lambda: reference(_chunks(content))))
    mine, other = (len(content) / min(times) / 1e6 for times in (ours, theirs))
    print(f"{name:24s} {report:10s} {mine:10.0f} {other:15.0f} {mine / other:6.1f}", flush=True)


def _seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


# --- the reference ------------------------------------------------------------------------------------------------

Text = Annotated[StrictStr, Field(pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")]
_CODES = {"string_pattern_mismatch": "control_character", "string_unicode": "invalid_unicode",
          "missing": "missing_content", "literal_error": "unknown_role"}  # fmt: skip
_SCAN = [True]


class Message(BaseModel):
    model_config = ConfigDict(strict=True)
    role: Literal["system", "user", "assistant", "tool"]
    content: Text


class Row(BaseModel):
    model_config = ConfigDict(strict=True)
    messages: list[Message] = Field(min_length=1)

    @model_validator(mode="after")
    def _conversation(self) -> "Row":
        replies = 0
        for index, message in enumerate(self.messages):
            if message.role == "system" and index:
                raise PydanticCustomError("misplaced_system", "{at}", {"at": f"/messages/{index}/role"})
            if message.role == "assistant":
                replies += 1
                if not message.content.strip():
                    raise PydanticCustomError("no_trained_token", "{at}", {"at": f"/messages/{index}/content"})
        if not replies:
            raise PydanticCustomError("no_trained_token", "{at}", {"at": "/messages"})
        return self


def reference(chunks: Iterator[bytes]) -> dict[str, Any]:
    """What `facts` says of our report, found the plain way. It knows one format, messages without tools."""
    found: list[tuple[int, str, str, str]] = []
    ignored: Counter[str] = Counter()
    seen: set[int] = set()
    digest = hashlib.sha256()
    total = Counter({"bytes": 0, "lines": 0, "blank": 0, "rows": 0, "bad": 0, "characters": 0, "tokens": 0})
    longest, rest = 0, b""
    for chunk in chunks:
        digest.update(chunk)
        total["bytes"] += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            total["lines"] += 1
            if not line.strip():
                total["blank"] += 1
                continue
            try:
                fields = json.loads(line.decode(), object_pairs_hook=_once, parse_constant=_refuse)
                if not isinstance(fields, dict):
                    raise _Bad("not_an_object", "")
                row = Row.model_validate(fields)
            except (_Bad, ValidationError, ValueError) as error:
                total["bad"] += 1
                found += [(total["lines"], code, pointer, "error") for code, pointer in _explained(error)]
                continue
            texts = [message.content for message in row.messages]
            tokens = -(-sum(len(text.encode()) for text in texts) // 4) + 4 * len(texts)
            total["rows"] += 1
            total["tokens"] += tokens
            total["characters"] += sum(map(len, texts))
            longest = max(longest, tokens)
            ignored.update(key for key in fields if key != "messages")
            if _SCAN[0]:
                same = hash(tuple((message.role, message.content) for message in row.messages))
                if same in seen:
                    found.append((total["lines"], "duplicate_row", "", "warning"))
                seen.add(same)
                for index, text in enumerate(texts):
                    for _ in secrets_in(text):
                        found.append((total["lines"], "likely_secret", f"/messages/{index}/content", "warning"))
    counts = dict(Counter(code for _, code, _, _ in found))
    return {**total, "longest": longest, "sha256": digest.hexdigest(), "found": found, "counts": counts,
            "ignored": dict(ignored)}  # fmt: skip


class _Bad(Exception):
    """args = (code, pointer)"""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _Bad("duplicate_key", "")
    return fields


def _refuse(name: str) -> None:
    raise ValueError(name)


def _explained(error: Exception) -> Iterator[tuple[str, str]]:
    if isinstance(error, ValidationError):
        for problem in error.errors():
            code, pointer = problem["type"], "".join(f"/{part}" for part in problem["loc"])
            if code in ("misplaced_system", "no_trained_token"):
                pointer = problem["ctx"]["at"]
            elif pointer == "/messages" and code in ("missing", "too_short"):
                code, pointer = ("unknown_format", "") if code == "missing" else ("empty_messages", pointer)
            elif code == "missing" and pointer.endswith("/role"):
                code = "unknown_role"
            yield _CODES.get(code, "wrong_type" if code.endswith("_type") else code), pointer
    elif isinstance(error, _Bad):
        yield error.args[0], error.args[1]
    else:
        yield ("invalid_utf8" if isinstance(error, UnicodeDecodeError) else "invalid_json"), ""


# --- equal reports, and the files ---------------------------------------------------------------------------------


def facts(report: Report) -> dict[str, Any]:
    """Our report in the reference's words."""
    return {
        "bytes": report.bytes, "lines": report.lines, "blank": report.blank_lines, "rows": report.rows,
        "bad": report.bad_lines, "characters": report.characters, "tokens": report.tokens,
        "longest": report.longest_row_tokens, "sha256": report.sha256, "counts": dict(report.counts),
        "ignored": dict(report.ignored_keys),
        "found": [(finding.line, finding.code, finding.pointer, finding.level) for finding in report.findings],
    }  # fmt: skip


def _require_equal(name: str, content: bytes) -> None:
    ours, theirs = facts(examine(_chunks(content))), reference(_chunks(content))
    assert ours == theirs, (name, {key: (ours[key], theirs[key]) for key in ours if ours[key] != theirs[key]})


@contextmanager
def _structure_only() -> Iterator[None]:
    """Both sides without duplicates and secrets."""

    class NoHashes:
        def add(self, row_hash: int, line: int) -> int:
            return 0

    with (
        mock.patch("luthier.datasets.report.RowHashes", NoHashes),
        mock.patch("luthier.datasets.report.places_to_look", return_value=[]),
        mock.patch("luthier.datasets.report.secrets", return_value=()),
    ):
        _SCAN[0] = False
        yield
        _SCAN[0] = True


def _chunks(content: bytes) -> Iterator[bytes]:
    return (content[start : start + _CHUNK] for start in range(0, len(content), _CHUNK))


# How frequent letters are in English (Lewand, Cryptological Mathematics, 2000).
_LETTERS = "etaoinshrdlcumwfgypbvkjxqz"
_PER_MILLE = (127, 91, 82, 75, 70, 67, 63, 61, 60, 43, 40, 28, 28, 24, 24, 22, 20, 20, 19, 15, 10, 8, 1.5, 1.5, 1, 0.7)


def _file(rows: int, size: int, *, ascii_only: bool = False, extra: dict[str, Any] | None = None) -> bytes:
    dice = random.Random(size)
    words = ["".join(dice.choices(_LETTERS, _PER_MILLE, k=dice.randint(2, 9))) for _ in range(4_000)]
    words += ["größer", "naïve", "“quoted”", 'say "yes"', "line\nbreak", "C:\\temp", "2026", "x = {1: 2};"]

    def text(length: int) -> str:
        return " ".join(dice.choices(words, k=max(1, length // 6)))

    made = []
    for _ in range(rows):
        system, asked, answered = "Be brief.", text((size - 130) // 3), text((size - 130) * 2 // 3)
        roles = zip(("system", "user", "assistant"), (system, asked, answered), strict=True)
        row = {"messages": [{"role": role, "content": content} for role, content in roles]} | (extra or {})
        made.append(json.dumps(row, ensure_ascii=ascii_only).encode())
    return b"\n".join(made) + b"\n"


FAULTS = [
    b"{", b'{"text": NaN}', b'{"messages": "\xff"}', b"[1]", b'{"a": 1, "a": 2}', b'{"question": "a"}',
    b'{"messages": []}', b'{"messages": {}}', b'{"messages": [{"role": "user", "content": "a"}]}', b"", b"  \r",
    b'{"messages": [{"role": "human", "content": "a"}, {"role": "assistant", "content": "b"}]}',
    b'{"messages": [{"role": "user", "content": 1}, {"role": "assistant", "content": "b"}]}',
    b'{"messages": [{"role": "user"}, {"role": "assistant", "content": "b"}]}',
    b'{"messages": [{"role": "user", "role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
    b'{"messages": [{"role": "user", "content": "\\u0007"}, {"role": "assistant", "content": "b"}]}',
    b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "b"}]}',
    b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}]}',
    b'{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"},'
    b' {"role": "assistant", "content": "c"}]}',
    b'{"messages": [{"role": "user", "content": "ghp_' + b"a1B2" * 9 + b'"}, {"role": "assistant", "content": "b"}]}',
]  # fmt: skip


def _spoiled(content: bytes) -> bytes:
    """The file with each fault, and a repeated row, planted at random lines."""
    dice = random.Random(0)
    lines = content.splitlines()
    for fault in [*FAULTS, lines[3]]:
        lines.insert(dice.randrange(100, len(lines)), fault)
    return b"\n".join(lines) + b"\n"
