"""What can be done with datasets. Every verb looks only at the principal's organization."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from luthier import clock, ids, table
from luthier.accounts.entity import Principal
from luthier.datasets import refusals
from luthier.datasets.content import DatasetContent
from luthier.datasets.entity import (
    BATCH_OUTPUT,
    ERROR,
    ID_PREFIX,
    JOB_RESULTS,
    PROCESSED,
    PURPOSES,
    UPLOADED,
    WITH_ROWS,
    Dataset,
    content_key,
    id_in,
    name_in,
)
from luthier.datasets.foreign import FALLBACK_NAME, ForeignSources
from luthier.datasets.judging import Judge
from luthier.datasets.store import DatasetStore, Page
from luthier.errors import LuthierError
from luthier.idempotency import ONCE, Claim, Repetition
from luthier.settings import Settings
from luthier.webhooks.address import Destinations

# A function takes 6 MB, of which base64 and the envelope leave about 4.5 MB.
DIRECT_BYTES = 4_500_000
# Of a copy, which is checked within one request of at most 29 s, at about 20 MB of rows per second.
MAX_BYTES = 256 * 1024 * 1024
# Larger ones are checked by the sweeper, which has 15 minutes.
AT_ONCE_BYTES = 100_000_000
# What S3 takes in one PUT, and copies in one request.
PUT_BYTES = 5_000_000_000
_TOMBSTONE_SECONDS = 30 * 24 * 3600
# By then every request that began before a file was deleted has ended.
_REQUEST = timedelta(minutes=1)
_LONGEST_FILENAME = 255

Imports = list[Dataset]
Writes = list[table.Write]


class PresignedUpload(NamedTuple):
    """Where the content goes: PUT it to `url` with `headers` within the hour, then complete the upload."""

    dataset: Dataset
    url: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Content:
    """A file's content: `body` when an answer can carry it, `url` (valid for an hour) in any case."""

    dataset: Dataset
    url: str
    body: bytes | None

    @property
    def is_binary(self) -> bool:
        """Whether it is no text, which is all that an answer carries as it is."""
        return self.dataset.filename.endswith(".gz") and self.dataset.purpose == JOB_RESULTS


class DatasetService:
    def __init__(
        self,
        store: DatasetStore,
        s3: Any,
        settings: Settings,
        now: clock.Clock = clock.now,
        foreign: ForeignSources | None = None,
    ) -> None:
        self._store = store
        self._claims = store.claims(now)
        self._content = DatasetContent(s3, settings.data_bucket)
        self._judge = Judge(self._content, now)
        self._foreign = foreign or ForeignSources(s3, settings, Destinations(settings.webhook_private_networks))
        self._now = now

    def upload(
        self,
        principal: Principal,
        *,
        filename: str,
        purpose: str,
        content: bytes,
        expires_after: int | None = None,
        repetition: Repetition = ONCE,
    ) -> Dataset:
        """Store a file and check it. A file with bad lines is stored too, with status `error` and its findings.

        expires_after: seconds after which the file goes by itself.

        Raises InvalidRequest, and PayloadTooLarge above DIRECT_BYTES.
        """
        if len(content) > DIRECT_BYTES:
            raise refusals.needs_presigned_upload(len(content), DIRECT_BYTES)
        facts: dict[str, Any] = {"filename": filename, "purpose": purpose, "sha256": sha256(content).hexdigest()}
        facts |= {"expires_after": expires_after} if expires_after else {}

        def make(claim: Claim | None) -> Dataset:
            dataset = self.draft(principal, filename, purpose, len(content), expires_after)
            with self._removed_on_failure(dataset):
                self._content.write(dataset, content)
                judged = self._judge.judge(dataset, [content])
                self._store.create(judged, self._judge.verdict(judged), claim)
            return judged

        return self.once(principal, "files.upload", facts, repetition, make)

    def begin_upload(
        self, principal: Principal, *, filename: str, bytes: int, purpose: str, repetition: Repetition = ONCE
    ) -> PresignedUpload:
        """Announce a file of `bytes` bytes. Raises InvalidRequest, and PayloadTooLarge above PUT_BYTES."""
        if bytes < 1:
            raise refusals.empty_upload()
        if bytes > PUT_BYTES:
            raise refusals.too_large(bytes, PUT_BYTES)

        def make(claim: Claim | None) -> Dataset:
            awaited = "The content is awaited: PUT it to the upload address, then complete the upload."
            dataset = replace(self.draft(principal, filename, purpose, bytes), status_details=awaited)
            self._store.create(dataset, claim=claim)
            return dataset

        facts = {"filename": filename, "purpose": purpose, "bytes": bytes}
        dataset = self.once(principal, "files.begin", facts, repetition, make)
        return PresignedUpload(dataset, *self._content.address(dataset))

    def complete_upload(self, principal: Principal, dataset_id: str) -> Dataset:
        """Check the content that was PUT; above AT_ONCE_BYTES the sweeper does, and until then it stays `uploaded`.

        Safe to repeat. Raises NotFound, and Conflict while there is no content.
        """
        dataset = self.get(principal, dataset_id)
        if dataset.status != UPLOADED or dataset.unchecked:
            return dataset
        if dataset.bytes > AT_ONCE_BYTES:
            return self._left_to_the_sweeper(principal, dataset)
        chunks = self._content.chunks(dataset)
        if chunks is None:
            raise refusals.content_missing(dataset)
        judged = self._judge.judge(dataset, chunks)
        try:
            self._store.finish(judged, self._judge.verdict(judged))
        except table.ConditionFailed:
            return self.get(principal, dataset_id)
        return judged

    def _left_to_the_sweeper(self, principal: Principal, dataset: Dataset) -> Dataset:
        if not self._content.arrived(dataset):
            raise refusals.content_missing(dataset)
        now = clock.iso(self._now())
        owed = replace(dataset, unchecked=True, due=now, status_details=refusals.BEING_CHECKED)
        try:
            self._store.revise(dataset, owed)
        except table.ConditionFailed:
            return self.get(principal, dataset.id)
        return owed

    def get(self, principal: Principal, dataset_id: str) -> Dataset:
        """The file of an id. Raises NotFound."""
        return self._present(principal.organization_id, dataset_id)

    def stored(self, organization_id: str, dataset_id: str) -> Dataset:
        """The file of an id, for the pipeline, which acts for an organization. Raises NotFound."""
        return self._present(organization_id, dataset_id)

    def list(
        self,
        principal: Principal,
        *,
        limit: int = 20,
        after: str | None = None,
        order: str = "desc",
        purpose: str | None = None,
    ) -> Page:
        """A page of files by time of creation; `after` is the id of the last file seen. Raises InvalidRequest."""
        if order not in ("asc", "desc"):
            raise refusals.unknown_choice("order", order, ("asc", "desc"))
        known = (*PURPOSES, BATCH_OUTPUT, JOB_RESULTS)
        if purpose is not None and purpose not in known:
            raise refusals.unknown_choice("purpose", purpose, known)
        cursor = id_in(after) if after else None
        if after and not cursor:
            raise refusals.unknown_cursor(after)
        ascending = order == "asc"
        return self._store.page(
            principal.organization_id, limit=limit, after=cursor, ascending=ascending, purpose=purpose
        )

    def delete(self, principal: Principal, dataset_id: str) -> Dataset:
        """Delete a file and its content. Safe to repeat; jobs keep the copies they train on. Raises NotFound."""
        dataset = self._find(principal.organization_id, dataset_id)
        if dataset is None:
            raise refusals.not_found(dataset_id)
        return self.remove(dataset)

    def remove(self, dataset: Dataset) -> Dataset:
        """Delete a file and its content, whoever wants it."""
        if not dataset.deleted:
            soon = clock.iso(self._now() + _REQUEST) if dataset.purpose in WITH_ROWS else None
            dataset = self.bury(dataset, due=soon)
        # After the tombstone: a delete that ends in between is repaired by the next one.
        self._content.remove(dataset)
        return dataset

    def bury(self, dataset: Dataset, *, due: str | None) -> Dataset:
        """Leave a tombstone of a file. due: when the sweeper removes what was made of it elsewhere."""
        tomb = replace(dataset, deleted=True, findings=[], due=due)
        self._store.bury(tomb, until=int(self._now().timestamp()) + _TOMBSTONE_SECONDS)
        return tomb

    def content(self, principal: Principal, dataset_id: str) -> Content:
        """What was uploaded. Raises NotFound, and Conflict while the content is awaited."""
        dataset = self.get(principal, dataset_id)
        if dataset.status == UPLOADED:
            raise refusals.content_missing(dataset)
        chunks = self._content.chunks(dataset) if dataset.bytes <= DIRECT_BYTES else None
        body = b"".join(chunks) if chunks is not None else None
        return Content(dataset, self._content.download_url(dataset), body)

    @contextmanager
    def importing(self) -> Iterator[Imports]:
        """Where the copies of one request wait until `writes` stores them with what the request makes.

        They are removed when it makes nothing.
        """
        imports: Imports = []
        try:
            yield imports
        except (LuthierError, table.ConditionFailed):
            # After any other failure the write may have happened: a copy too many harms nobody, a missing one its job.
            for dataset in imports:
                self._content.remove(dataset)
            raise

    def output(self, organization_id: str, dataset_id: str, filename: str, purpose: str) -> Dataset:
        """The file that a batch or a job leaves; `output_writes` store it once its content is there."""
        return Dataset(
            id=dataset_id,
            organization_id=organization_id,
            filename=filename,
            purpose=purpose,
            bytes=0,
            status=PROCESSED,
            created_at=clock.iso(self._now()),
            s3_key=content_key(organization_id, dataset_id, filename),
        )

    def output_writes(self, dataset: Dataset) -> Writes:
        """The writes that make an output the organization's file, to be part of the transaction that says so."""
        return self._store.writes(dataset, None)

    def writes(self, imports: Imports) -> Writes:
        """The writes that make copies the organization's files, to be part of the request's transaction."""
        return [write for dataset in imports for write in self._store.writes(dataset, self._judge.verdict(dataset))]

    def resolve(
        self, principal: Principal, reference: str, *, param: str, imports: Imports, invalid_share: float = 0.0
    ) -> Dataset:
        """The dataset that a request means, ready to train on.

        reference: an id; a path or name: the newest file of that name, `.jsonl` being understood; the s3:// or
        https:// address of a file, whose copy joins `imports`. A copy with bad lines is stored at once, for its report.
        invalid_share: of its lines that may be bad.
        Raises InvalidRequest: unknown, without content, or with bad lines, of which the first SHOWN_FINDINGS are named.
        """
        if self._foreign.is_foreign(reference):
            dataset = self._imported(principal, reference, param)
            if dataset.status == PROCESSED or dataset.has_at_most(invalid_share):
                imports.append(dataset)
            else:
                self._store.create(dataset, self._judge.verdict(dataset))
        elif (known := self.referred(principal.organization_id, reference)) is None:
            raise refusals.unknown_reference(reference, param)
        else:
            dataset = known
        if dataset.purpose not in WITH_ROWS:
            raise refusals.no_rows(dataset, param)
        if dataset.status == UPLOADED:
            dataset = self._completed(principal, dataset, param)
        if dataset.status == UPLOADED:
            raise refusals.not_ready(dataset, param)
        if dataset.status == ERROR and not dataset.has_at_most(invalid_share):
            raise refusals.bad_lines(dataset, param)
        return dataset

    def _imported(self, principal: Principal, reference: str, param: str) -> Dataset:
        name = self._foreign.filename(reference)
        dataset = self.draft(principal, name if _good_name(name) else FALLBACK_NAME, PURPOSES[0], 0)

        with self._removed_on_failure(dataset):
            self._foreign.copy(reference, dataset, self._content, limit=MAX_BYTES, param=param)
            return self._judge.judge(dataset, self._content.chunks(dataset) or ())

    @contextmanager
    def _removed_on_failure(self, dataset: Dataset) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._content.remove(dataset)
            raise

    def once(
        self,
        principal: Principal,
        route: str,
        facts: dict[str, Any],
        repetition: Repetition,
        make: Callable[[Claim | None], Dataset],
    ) -> Dataset:
        """What `make` makes, or what an equal request has made before."""
        if not repetition.can_repeat:
            return make(None)
        claim = repetition.claim(principal, route, facts)
        return self._claims.once(claim, lambda: make(claim), lambda made: self.get(principal, made))

    def report(self, principal: Principal, dataset_id: str) -> dict[str, Any]:
        """All that the check of a file said. Raises NotFound, and Conflict while the content is awaited."""
        dataset = self.get(principal, dataset_id)
        if dataset.status == UPLOADED:
            raise refusals.content_missing(dataset)
        spilled = dataset.findings_count > len(dataset.findings)
        return asdict(dataset) | {"findings": self._content.read_findings(dataset) if spilled else dataset.findings}

    def copy_to(self, dataset: Dataset, bucket: str, key: str) -> None:
        """Copy a dataset's content inside S3."""
        self._content.copy(dataset, bucket, key)

    def draft(
        self, principal: Principal, filename: str, purpose: str, size: int, expires_after: int | None = None
    ) -> Dataset:
        """A file to be, whose content is awaited; expires_after in seconds. Raises InvalidRequest."""
        if purpose not in PURPOSES:
            raise refusals.unknown_choice("purpose", purpose, PURPOSES)
        name = name_in(filename)
        if not _good_name(name):
            raise refusals.bad_filename(filename, _LONGEST_FILENAME)
        dataset_id, now = ids.new_id(ID_PREFIX, "-"), self._now()
        ends = clock.iso(now + timedelta(seconds=expires_after)) if expires_after else None
        return Dataset(
            id=dataset_id,
            organization_id=principal.organization_id,
            filename=name,
            purpose=purpose,
            bytes=size,
            status=UPLOADED,
            created_at=clock.iso(now),
            s3_key=content_key(principal.organization_id, dataset_id, name),
            expires_at=ends,
            due=ends,
        )

    def _find(self, organization_id: str, dataset_id: str) -> Dataset | None:
        canonical = id_in(dataset_id)
        return self._store.get(organization_id, canonical) if canonical else None

    def _present(self, organization_id: str, dataset_id: str) -> Dataset:
        dataset = self._find(organization_id, dataset_id)
        if dataset is None or dataset.deleted:
            raise refusals.not_found(dataset_id)
        return dataset

    def referred(self, organization_id: str, reference: str) -> Dataset | None:
        """The organization's file of an id, or the newest of a name, `.jsonl` being understood; None without one."""
        found = id_in(reference)
        # A URI names a place that Luthier does not read from; its last part may be another file here.
        if not found and "://" not in reference and _good_name(name := name_in(reference)):
            found = self._store.newest_of_name(organization_id, name)
            if not found and not name.endswith(".jsonl"):
                found = self._store.newest_of_name(organization_id, f"{name}.jsonl")
        dataset = self._store.get(organization_id, found) if found else None
        return None if dataset is None or dataset.deleted else dataset

    def _completed(self, principal: Principal, dataset: Dataset, param: str) -> Dataset:
        """The same file after its check, for clients that PUT the content and forgot to say so."""
        try:
            return self.complete_upload(principal, dataset.id)
        except refusals.Conflict as error:
            raise refusals.not_ready(dataset, param) from error


def _good_name(name: str) -> bool:
    if not name.strip(". ") or not name.isprintable():
        return False
    return len(name.encode("utf-8", "surrogatepass")) <= _LONGEST_FILENAME
