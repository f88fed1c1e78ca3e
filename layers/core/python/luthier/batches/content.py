"""The S3 objects of a batch: its requests, its outcomes part by part as they come, and all results at its end."""

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from luthier.batches.entity import LONGEST_LINE, PREFIX, Batch, Line, Outcome

JSONL = "application/jsonl"
URL_SECONDS = 3600
# Read at once. A line fits into it, whatever it begins with.
_BLOCK = 4_000_000
assert _BLOCK > LONGEST_LINE


class BatchContent:
    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket

    def input_key(self, batch: Batch) -> str:
        return f"{_place(batch)}/input.jsonl"

    def write_input(self, batch: Batch, requests: Iterable[dict[str, Any]]) -> None:
        self._put(self.input_key(batch), requests)

    def remove_input(self, batch: Batch) -> None:
        self._s3.delete_object(Bucket=self.bucket, Key=self.input_key(batch))

    def lines(self, batch: Batch) -> Iterator[Line]:
        """The requests from the batch's position on, read block by block; blank lines are nobody's.

        A line that is longer than LONGEST_LINE comes cut, as the last one.
        """
        number, start = batch.position, batch.offset
        while block := self._block(self.input_key(batch), start):
            last, at = len(block) < _BLOCK, 0
            while at < len(block):
                end = block.find(b"\n", at) + 1
                if not end and not last and len(block) - at <= LONGEST_LINE:
                    break  # the next block holds all of it
                text, at = block[at : end or len(block)], end or len(block)
                if text.strip():
                    number += 1
                    yield Line(number, text, start + at)
                if not end:
                    return
            start += at
            if last:
                return

    def write_part(self, batch: Batch, outcomes: Iterable[Outcome]) -> None:
        self._put(_part(batch, batch.parts), map(asdict, outcomes))

    def outcomes(self, batch: Batch) -> Iterator[Outcome]:
        """Every outcome, in the order of the requests, read part by part."""
        for number in range(batch.parts):
            answer = self._s3.get_object(Bucket=self.bucket, Key=_part(batch, number))
            yield from (Outcome(**json.loads(line)) for line in answer["Body"].read().splitlines())

    def write(self, key: str, rows: Iterable[dict[str, Any]]) -> tuple[int, int]:
        """Write rows of JSON as they come; how many there were, and their bytes. Without any there is no object."""
        stream = _Stream(rows)
        if stream.peek():
            self._s3.upload_fileobj(stream, self.bucket, key, ExtraArgs={"ContentType": JSONL})
        return stream.rows, stream.bytes

    def results_key(self, batch: Batch) -> str:
        return f"{_place(batch)}/results.jsonl"

    def read(self, key: str, most: int) -> list[dict[str, Any]] | None:
        """The rows of an object; None where it has more than `most` bytes."""
        answer = self._s3.get_object(Bucket=self.bucket, Key=key)
        if answer["ContentLength"] > most:
            answer["Body"].close()
            return None
        return [json.loads(line) for line in answer["Body"].read().splitlines()]

    def url(self, key: str) -> str:
        """An address that gives an object for an hour."""
        place = {"Bucket": self.bucket, "Key": key}
        return self._s3.generate_presigned_url("get_object", Params=place, ExpiresIn=URL_SECONDS)

    def _put(self, key: str, rows: Iterable[dict[str, Any]]) -> None:
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=b"".join(map(_row, rows)), ContentType=JSONL)

    def _block(self, key: str, start: int) -> bytes:
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={start}-{start + _BLOCK - 1}")
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRange":
                return b""  # the end
            raise
        return answer["Body"].read()


class _Stream(io.RawIOBase):
    """Rows as a file that S3's multipart upload can read, without ever holding all of them."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self._rows = map(_row, rows)
        self._rest = bytearray()
        self.rows = self.bytes = 0

    def peek(self) -> bool:
        """Whether there is anything."""
        return bool(self._rest) or self._more()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or len(self._rest) < size) and self._more():
            pass
        end = len(self._rest) if size < 0 else size
        taken = bytes(self._rest[:end])
        del self._rest[:end]
        return taken

    def _more(self) -> bool:
        row = next(self._rows, b"")
        self._rest += row
        self.rows, self.bytes = self.rows + bool(row), self.bytes + len(row)
        return bool(row)


def _row(row: dict[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _place(batch: Batch) -> str:
    return f"{PREFIX}{batch.organization_id}/{batch.id}"


def _part(batch: Batch, number: int) -> str:
    return f"{_place(batch)}/parts/{number:06d}.jsonl"
