"""Repairing an uploaded file: a new file of its rows, read and written as one stream. The original stays as it is."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

from luthier import clock, table
from luthier.accounts.entity import Principal
from luthier.datasets import refusals
from luthier.datasets.content import DatasetContent
from luthier.datasets.entity import UPLOADED, WITH_ROWS, Dataset, id_in
from luthier.datasets.judging import Judge
from luthier.datasets.repair import Repair
from luthier.datasets.service import AT_ONCE_BYTES, DatasetService
from luthier.datasets.store import DatasetStore
from luthier.idempotency import ONCE, Claim, Repetition

_ENDING = ".repaired.jsonl"
_LONGEST_FILENAME = 255
_PIECE_BYTES = 1024 * 1024
# Correcting many short rows is several times slower than reading them, and API Gateway gives up after 29 s.
_DEADLINE = timedelta(seconds=20)


class RepairService:
    def __init__(
        self, datasets: DatasetService, store: DatasetStore, content: DatasetContent, now: clock.Clock = clock.now
    ) -> None:
        self._datasets = datasets
        self._store = store
        self._content = content
        self._judge = Judge(content, now)
        self._now = now

    def repair(self, principal: Principal, dataset_id: str, *, repetition: Repetition = ONCE) -> Dataset:
        """A new file of what is good in a file or can be corrected without judgement (see `Repair`).

        It has the purpose of the original, and its end where it expires. Raises NotFound, Conflict while the content is
        awaited, InvalidRequest for a file without rows, PayloadTooLarge above AT_ONCE_BYTES and for what takes too
        long, Unprocessable where no row is left; then nothing was made.
        """

        def make(claim: Claim | None) -> Dataset:
            return self._repaired(principal, self._datasets.get(principal, dataset_id), claim)

        facts = {"file": id_in(dataset_id) or dataset_id}
        return self._datasets.once(principal, "files.repair", facts, repetition, make)

    def _repaired(self, principal: Principal, source: Dataset, claim: Claim | None) -> Dataset:
        _require_rows(source)
        draft = self._datasets.draft(principal, _name_of(source), source.purpose, 0)
        draft = replace(draft, expires_at=source.expires_at, due=source.expires_at)
        try:
            judged = self._written(source, draft)
        except Exception:
            self._content.remove(draft)
            raise
        try:
            self._store.create(judged, self._judge.verdict(judged), claim)
        except table.ConditionFailed:
            self._content.remove(judged)
            raise
        return judged

    def _written(self, source: Dataset, draft: Dataset) -> Dataset:
        """The new file with its content in place and its verdict. Raises before there is content, or not at all."""
        chunks = self._content.chunks(source)
        if chunks is None:
            # It was deleted since it was read.
            raise refusals.not_found(source.id)
        repair, timely = Repair(), self._timely(source, chunks)
        with self._content.writing(draft) as write:

            def written() -> Iterator[bytes]:
                for piece in _pieces(repair.lines(timely)):
                    write(piece)
                    yield piece

            judged = self._judge.judge(draft, written())
            if not repair.kept:
                raise refusals.nothing_left(source, repair.dropped)
        return replace(judged, repair=_told(source, repair))

    def _timely(self, source: Dataset, chunks: Iterable[bytes]) -> Iterator[bytes]:
        ends = self._now() + _DEADLINE
        for chunk in chunks:
            if self._now() > ends:
                rule = f"to repair them takes more than {_DEADLINE.seconds} seconds"
                raise refusals.too_large_to_repair(source, rule)
            yield chunk


def _require_rows(source: Dataset) -> None:
    if source.purpose not in WITH_ROWS:
        raise refusals.no_rows(source, "file_id")
    if source.status == UPLOADED:
        raise refusals.content_missing(source)
    if not source.sha256:
        # It was given up before its content was in one piece.
        raise refusals.bad_lines(source, "file_id")
    if source.bytes > AT_ONCE_BYTES:
        raise refusals.too_large_to_repair(source, f"up to {AT_ONCE_BYTES} are repaired here")


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines in pieces, because S3 and the check take few large ones faster than many small ones."""
    held = bytearray()
    for line in lines:
        held += line
        if len(held) >= _PIECE_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _name_of(source: Dataset) -> str:
    stem = source.filename.removesuffix(".jsonl").encode("utf-8", "surrogatepass")[: _LONGEST_FILENAME - len(_ENDING)]
    return stem.decode(errors="ignore") + _ENDING


def _told(source: Dataset, repair: Repair) -> dict[str, object]:
    return {
        "source": source.id,
        "rows_kept": repair.kept,
        "rows_changed": repair.changed,
        "rows_dropped": repair.dropped.total() - repair.dropped["blank_line"],
        "corrections": dict(repair.corrections),
        "dropped": dict(repair.dropped),
    }
