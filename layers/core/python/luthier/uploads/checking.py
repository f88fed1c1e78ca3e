"""Checking the files whose content has arrived: joining it first where it lies in parts."""

from collections.abc import Iterator
from hashlib import md5

from luthier import clock, table
from luthier.datasets.content import DatasetContent
from luthier.datasets.entity import Dataset
from luthier.datasets.judging import Judge
from luthier.datasets.store import DatasetStore
from luthier.errors import InvalidRequest
from luthier.uploads import refusals
from luthier.uploads.content import UploadParts
from luthier.uploads.entity import Upload
from luthier.uploads.store import UploadStore


class OtherContent(Exception):
    """The parts do not make what the client had promised; `refusal` says so."""

    def __init__(self, refusal: InvalidRequest) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class FileChecks:
    def __init__(
        self,
        files: DatasetStore,
        content: DatasetContent,
        uploads: UploadStore,
        parts: UploadParts,
        now: clock.Clock = clock.now,
    ) -> None:
        self._files = files
        self._content = content
        self._uploads = uploads
        self._parts = parts
        self._judge = Judge(content, now)

    def check(self, dataset: Dataset) -> None:
        """Give a file its verdict. Safe to repeat, and for several at once: all of them write the same.

        Holds one part and what S3 takes at once, whatever the size. Raises OtherContent, and then has changed nothing.
        """
        upload = self._upload_of(dataset)
        if upload is None:
            self._settle(self._judge.judge(dataset, self._content.chunks(dataset) or ()))
            return
        try:
            self._settle(self._joined(dataset, upload))
        except OtherContent:
            # There is no content; there may be a report on it.
            self._content.remove(dataset)
            raise
        self._parts.remove(upload)

    def reject(self, dataset: Dataset, why: str) -> None:
        """Give up a file, and the parts that it was to be made of."""
        self._settle(self._judge.rejected(dataset, why))
        if upload := self._upload_of(dataset):
            self._parts.remove(upload)

    def _upload_of(self, dataset: Dataset) -> Upload | None:
        return self._uploads.get(dataset.organization_id, dataset.upload_id) if dataset.upload_id else None

    def _settle(self, judged: Dataset) -> None:
        """Write the verdict, unless there is one; what a deleted file has got meanwhile goes."""
        try:
            self._files.finish(judged, self._judge.verdict(judged))
        except table.ConditionFailed:
            known = self._files.get(judged.organization_id, judged.id)
            if known is None or known.deleted:
                self._content.remove(judged)

    def _joined(self, dataset: Dataset, upload: Upload) -> Dataset:
        # Only to compare it with what the client says.
        digest = md5(usedforsecurity=False)

        with self._content.writing(dataset) as write:

            def joined() -> Iterator[bytes]:
                for piece in self._parts.pieces(upload):
                    digest.update(piece)
                    write(piece)
                    yield piece

            judged = self._judge.judge(dataset, joined())
            if upload.md5 and digest.hexdigest() != upload.md5:
                raise OtherContent(refusals.other_md5(digest.hexdigest(), upload.md5))
        return judged
