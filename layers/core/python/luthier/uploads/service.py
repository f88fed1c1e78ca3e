"""What can be done with uploads. Every verb looks only at the principal's organization."""

from dataclasses import dataclass, replace
from datetime import timedelta

from luthier import clock, ids, table
from luthier.accounts.entity import Principal
from luthier.datasets import refusals as of_files
from luthier.datasets.entity import Dataset
from luthier.datasets.service import AT_ONCE_BYTES, DatasetService
from luthier.datasets.store import DatasetStore
from luthier.idempotency import ONCE, Claim, Repetition
from luthier.uploads import refusals
from luthier.uploads.checking import FileChecks, OtherContent
from luthier.uploads.content import UploadParts
from luthier.uploads.entity import (
    CANCELLED,
    COMPLETED,
    EXPIRED,
    ID_PREFIX,
    LASTING,
    MOST_BYTES,
    MOST_PARTS,
    PART_BYTES,
    PART_PREFIX,
    PENDING,
    Upload,
)
from luthier.uploads.store import UploadStore

# Reading a part takes 30 to 80 ms, whatever its size.
_AT_ONCE_PARTS = 100
# A request that has not checked its file by then has died: API Gateway gives up after 29 s.
_REQUEST = timedelta(minutes=1)


@dataclass(frozen=True)
class Part:
    id: str
    upload_id: str
    created_at: str


class UploadService:
    def __init__(
        self,
        store: UploadStore,
        parts: UploadParts,
        datasets: DatasetService,
        files: DatasetStore,
        checks: FileChecks,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._parts = parts
        self._datasets = datasets
        self._files = files
        self._checks = checks
        self._claims = store.claims(now)
        self._now = now

    def create(
        self,
        principal: Principal,
        *,
        filename: str,
        purpose: str,
        bytes: int,
        expires_after: int | None = None,
        repetition: Repetition = ONCE,
    ) -> Upload:
        """Announce a file of `bytes` bytes; expires_after: seconds that it shall live once it is complete.

        Raises InvalidRequest, and PayloadTooLarge above MOST_BYTES.
        """
        if bytes < 1:
            raise of_files.empty_upload()
        if bytes > MOST_BYTES:
            raise refusals.too_large(bytes)
        name = self._datasets.draft(principal, filename, purpose, bytes).filename

        def make(claim: Claim | None) -> Upload:
            now = self._now()
            upload = Upload(
                id=ids.new_id(ID_PREFIX),
                organization_id=principal.organization_id,
                filename=name,
                purpose=purpose,
                bytes=bytes,
                created_at=clock.iso(now),
                expires_at=clock.iso(now + LASTING),
                expires_after=expires_after,
            )
            self._store.create(upload, claim)
            return upload

        if not repetition.can_repeat:
            return make(None)
        facts = {"filename": filename, "purpose": purpose, "bytes": bytes, "expires_after": expires_after}
        claim = repetition.claim(principal, "uploads.create", facts)
        return self._claims.once(claim, lambda: make(claim), lambda made: self.get(principal, made))

    def add_part(self, principal: Principal, upload_id: str, content: bytes) -> Part:
        """Take a part, whose place is said on completion; one that is sent twice is two, and either will do.

        Raises InvalidRequest, NotFound, and PayloadTooLarge above PART_BYTES.
        """
        if not content:
            raise refusals.empty_part()
        if len(content) > PART_BYTES:
            raise refusals.part_too_large(len(content))
        upload = self.get(principal, upload_id)
        self._require_pending(upload)
        part = Part(ids.new_id(PART_PREFIX), upload.id, clock.iso(self._now()))
        self._parts.write(upload, part.id, content)
        return part

    def complete(
        self, principal: Principal, upload_id: str, *, part_ids: list[str], md5: str | None = None
    ) -> tuple[Upload, Dataset | None]:
        """Make a file of the parts in this order: the upload, and its file unless that was deleted since.

        The file is `uploaded` until it is joined and checked: at once up to AT_ONCE_BYTES, by the sweeper above, which
        also ends what a request that died has begun. Safe to repeat with the same parts.
        Raises InvalidRequest; on a wrong md5 that is found at once the upload is pending as before.
        """
        md5 = md5.lower() if md5 else None

        def completed() -> tuple[Upload, Dataset | None]:
            old = self.get(principal, upload_id)
            if old.status == COMPLETED and (old.part_ids, old.md5) == (part_ids, md5):
                return old, None
            self._require_pending(old)
            self._require_whole(old, part_ids)
            file = self._file_to_be(principal, old, at_once=_is_small(old, part_ids))
            new = replace(old, status=COMPLETED, part_ids=part_ids, md5=md5, file_id=file.id)
            return self._store.save(old, new, self._files.writes(file, None)), file

        upload, file = table.until_unchanged(upload_id, completed)
        if file and _is_small(upload, part_ids):
            self._check(upload, file)
        return upload, self.file(upload)

    def cancel(self, principal: Principal, upload_id: str) -> Upload:
        """Give an upload up, with its parts; one that has expired is answered as it is. Safe to repeat.

        Raises NotFound, and InvalidRequest for one that is complete.
        """

        def cancelled() -> Upload:
            old = self.get(principal, upload_id)
            if old.status in (CANCELLED, EXPIRED):
                return old
            self._require_pending(old)
            return self._store.save(old, replace(old, status=CANCELLED))

        upload = table.until_unchanged(upload_id, cancelled)
        self._parts.remove(upload)
        return upload

    def get(self, principal: Principal, upload_id: str) -> Upload:
        """The upload of an id, `expired` when its hour is over. Raises NotFound."""
        upload = self._store.get(principal.organization_id, upload_id)
        if upload is None:
            raise refusals.not_found(upload_id)
        return replace(upload, status=upload.status_at(clock.iso(self._now())))

    def file(self, upload: Upload) -> Dataset | None:
        """The file that an upload has become; None before, and when it was deleted."""
        file = self._files.get(upload.organization_id, upload.file_id) if upload.file_id else None
        return None if file is None or file.deleted else file

    def _file_to_be(self, principal: Principal, upload: Upload, *, at_once: bool) -> Dataset:
        now = self._now()
        return replace(
            self._datasets.draft(principal, upload.filename, upload.purpose, upload.bytes, upload.expires_after),
            status_details=of_files.BEING_CHECKED,
            upload_id=upload.id,
            unchecked=True,
            tries=1 if at_once else 0,
            due=clock.iso(now + _REQUEST if at_once else now),
        )

    def _check(self, upload: Upload, file: Dataset) -> None:
        try:
            self._checks.check(file)
        except OtherContent as other:
            pending = replace(upload, status=PENDING, part_ids=[], md5=None, file_id=None)
            self._store.save(upload, pending, [self._files.withdrawal(file)])
            raise other.refusal from None

    def _require_pending(self, upload: Upload) -> None:
        if upload.status != PENDING:
            raise refusals.not_pending(upload, upload.status)

    def _require_whole(self, upload: Upload, part_ids: list[str]) -> None:
        if not 1 <= len(part_ids) <= MOST_PARTS:
            raise refusals.parts_out_of_number(len(part_ids))
        sizes, seen = self._parts.sizes(upload), set[str]()
        for number, part_id in enumerate(part_ids):
            if part_id not in sizes:
                raise refusals.unknown_part(upload, number, part_id)
            if part_id in seen:
                raise refusals.repeated_part(number, part_id)
            seen.add(part_id)
        if (size := sum(sizes[part_id] for part_id in part_ids)) != upload.bytes:
            raise refusals.other_size(upload, size)


def _is_small(upload: Upload, part_ids: list[str]) -> bool:
    return upload.bytes <= AT_ONCE_BYTES and len(part_ids) <= _AT_ONCE_PARTS
