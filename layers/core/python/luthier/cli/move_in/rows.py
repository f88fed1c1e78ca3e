"""Whether a dataset can be trained on here, by the platform's own check, and what is sent of it.

OpenAI takes a few spellings that the platform does not: content in parts, the role developer, functions for tools.
Where rewriting those is all that a file needs, a rewritten one is sent. No row is left out.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from luthier.cli.stop import Stop
from luthier.datasets.findings import BadRow, Finding
from luthier.datasets.repair import Repair
from luthier.datasets.report import examine
from luthier.datasets.rows import parse_row

_CHUNK_BYTES = 1 << 20
_MEDIA = (b'"image_url"', b'"input_audio"', b'"input_image"', b'"file_data"')


@dataclass(frozen=True)
class Checked:
    """rows: that are trained on; rewritten: whether they are sent in another spelling."""

    path: Path
    method: str
    rows: int
    rewritten: bool = False

    @contextmanager
    def sent(self) -> Iterator[Path]:
        """The file as it is sent."""
        if not self.rewritten:
            yield self.path
            return
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as draft:
            draft.writelines(_rewritten(self.path, self.method))
            draft.flush()
            yield Path(draft.name)


def check(path: Path, method: str) -> Checked:
    """method: sft or dpo. Raises Stop naming the first line that nothing can be made of."""
    report = examine(_chunks(path), method)
    if report.ok:
        return Checked(path, method, report.rows)
    mended = examine(_rewritten(path, method), method)
    if not mended.ok:
        raise _unfit(path, next(one for one in mended.findings if one.level == "error"), b"")
    return Checked(path, method, mended.rows, rewritten=True)


def _rewritten(path: Path, method: str) -> Iterator[bytes]:
    """Good lines as they are. Raises Stop."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                parse_row(line.strip(), number, method)
                yield line.strip() + b"\n"
            except BadRow as bad:
                mended = list(Repair(method).lines([line]))
                if not mended:
                    raise _unfit(path, bad.findings[0], line) from None
                yield from mended


def _unfit(path: Path, fault: Finding, line: bytes) -> Stop:
    place = f"{path.name}, line {fault.line}" + (f", {fault.pointer}" if fault.pointer else "")
    if any(kind in line for kind in _MEDIA):
        return Stop(f"{place}: a picture, sound or document; models here are trained on text.", "Leave such rows out.")
    return Stop(f"{place}: {fault.message}", fault.fix)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
