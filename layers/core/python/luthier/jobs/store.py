"""Jobs in DynamoDB. Job, counters and event change in one transaction, guarded by the job's version."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from luthier import items, table
from luthier.accounts.entity import UNLIMITED, Limits
from luthier.events import outbox
from luthier.events.entity import Event
from luthier.jobs import concurrency
from luthier.jobs.entity import LIVE, SHOWN, Job

NOUN = "JOB"
# Jobs that one look for metadata takes in.
_LOOKED = 100


@dataclass(frozen=True)
class Counts:
    """How many jobs an organization has; statuses are the shown ones."""

    total: int
    by_status: dict[str, int]
    by_base_model: dict[str, int]


class JobStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, organization_id: str, job_id: str) -> Job | None:
        """The job: one strongly consistent read."""
        key = table.encode(table.key(organization_id, table.job(job_id)))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return _job(table.decode(answer["Item"])) if "Item" in answer else None

    def create(
        self,
        job: Job,
        event: Event,
        claims: Sequence[table.Write],
        *,
        limits: Limits = UNLIMITED,
        joined: Sequence[table.Write] = (),
    ) -> None:
        """Write a new job with its event and counters.

        claims: idempotency claims; they come first, so a repeated create hears of its job before it hears of a limit.
        joined: other nouns' writes. Raises table.ConditionFailed, RateLimited, or what the joined writes refuse with.
        """
        put = self._put(job) | {"ConditionExpression": "attribute_not_exists(pk)"}
        changes = {"total": 1, f"status#{job.shown_status}": 1, f"base#{job.base_model}": 1}
        alive = _alive(job, 1) if job.is_live else {}
        count: table.Write = self._count(job.organization_id, changes | alive)
        if alive:
            count = concurrency.guarded(self._count(job.organization_id, changes | alive), job.key_id, limits)
        table.transact(self._client, [*claims, {"Put": put}, count, self._told(event, job), *joined])

    def save(
        self,
        old: Job,
        new: Job,
        event: Event | None = None,
        *,
        limits: Limits = UNLIMITED,
        joined: Sequence[table.Write] = (),
    ) -> None:
        """Replace `old` by `new`. Raises table.ConditionFailed when somebody else was faster, RateLimited when a job
        that comes to life is one too many, or what the joined writes refuse with.
        """
        writes: list[table.Write] = [{"Put": self._put(new) | self._unchanged(old)}]
        if changes := _moved(old, new):
            count = self._count(old.organization_id, changes)
            begins = new.is_live and not old.is_live
            writes.append(concurrency.guarded(count, new.key_id, limits) if begins else count)
        if event:
            writes.append(self._told(event, new))
        table.transact(self._client, [*writes, *joined])

    def delete(self, job: Job) -> None:
        """Remove a job and count it out. Raises table.ConditionFailed when it changed meanwhile."""
        key = table.encode(table.key(job.organization_id, table.job(job.id)))
        changes = {"total": -1, f"status#{job.shown_status}": -1, f"base#{job.base_model}": -1}
        remove = {"TableName": self._table, "Key": key} | self._unchanged(job)
        table.transact(self._client, [{"Delete": remove}, self._count(job.organization_id, changes)])

    def counts(self, organization_id: str) -> Counts:
        """Totals of an organization: one read."""
        key = table.encode(table.key(organization_id, table.counters(NOUN)))
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})
        numbers = table.decode(item)
        return Counts(
            total=numbers.get("total", 0),
            by_status={k.partition("#")[2]: n for k, n in numbers.items() if k.startswith("status#")},
            by_base_model={k.partition("#")[2]: n for k, n in numbers.items() if k.startswith("base#")},
        )

    def rows(
        self,
        organization_id: str,
        *,
        status: str | None = None,
        base_model: str | None = None,
        ascending: bool = False,
        page_size: int | None = None,
    ) -> Iterator[table.Item]:
        """List rows by creation time: by one facet, or of the whole organization; read page by page."""
        if status:
            index, partition = table.FACET, table.facet(organization_id, NOUN, "STATUS", status)
        elif base_model:
            index, partition = table.SECOND_FACET, table.facet(organization_id, NOUN, "BASE", base_model)
        else:
            index, partition = table.LIST, table.listing(organization_id, NOUN)
        return table.query(
            self._client,
            page_size=page_size,
            TableName=self._table,
            IndexName=index.name,
            KeyConditionExpression=f"{index.partition_key} = :p",
            ExpressionAttributeValues={":p": {"S": partition}},
            ScanIndexForward=ascending,
        )

    def newest(self, organization_id: str, *, page_size: int, ascending: bool = False) -> Iterator[table.Item]:
        """Jobs in order of creation, strongly consistent: a job just created is there."""
        return table.query(
            self._client,
            page_size=page_size,
            TableName=self._table,
            KeyConditionExpression="pk = :p AND begins_with(sk, :jobs)",
            ExpressionAttributeValues={":p": {"S": table.organization(organization_id)}, ":jobs": {"S": table.job("")}},
            ScanIndexForward=ascending,
            ConsistentRead=True,
        )

    def page(
        self, organization_id: str, *, limit: int, after: str | None, metadata: Mapping[str, str], bare: bool = False
    ) -> tuple[list[Job], bool]:
        """Jobs with this metadata, newest first, and whether older ones follow: one query at any depth without
        metadata, else one for every hundred jobs that are looked at. after: the id of the last one seen; bare: only
        those that have no metadata.
        """
        found: list[Job] = []
        selects = bare or bool(metadata)
        size, more = _LOOKED if selects else limit, True
        while more and len(found) <= limit:
            rows, more = table.newest(
                self._client, self._table, organization_id, table.job(""), limit=size, after=after
            )
            jobs = list(map(_job, rows))
            found += [job for job in jobs if metadata.items() <= job.metadata.items() and not (bare and job.metadata)]
            after = jobs[-1].id if jobs else after
            if not selects:
                break
        return found[:limit], more or len(found) > limit

    def live(self) -> Iterator[tuple[str, str]]:
        """(organization, job id) of every job that has not ended, over all organizations."""
        return table.live_items(self._client, self._table, NOUN)

    def _put(self, job: Job) -> dict[str, Any]:
        org = job.organization_id
        item = (
            table.key(org, table.job(job.id))
            | asdict(job)
            | {"gsi1pk": table.facet(org, NOUN, "STATUS", job.shown_status), "gsi1sk": job.id}
            | {"gsi2pk": table.facet(org, NOUN, "BASE", job.base_model), "gsi2sk": job.id}
            | {"gsi3pk": table.listing(org, NOUN), "gsi3sk": job.id}
        )
        if job.status in LIVE:
            item |= {"gsi4pk": table.live(NOUN), "gsi4sk": job.id}
        return {"TableName": self._table, "Item": table.encode(item)}

    def _told(self, event: Event, job: Job) -> dict[str, Any]:
        return outbox.write(event, self._table, job.webhook_url)

    def _unchanged(self, job: Job) -> dict[str, Any]:
        return {
            "ConditionExpression": "version = :seen",
            "ExpressionAttributeValues": {":seen": {"N": str(job.version)}},
        }

    def _count(self, organization_id: str, changes: dict[str, int]) -> dict[str, Any]:
        return items.count(self._table, organization_id, NOUN, changes)


def _alive(job: Job, change: int) -> dict[str, int]:
    return dict.fromkeys(concurrency.counters(job.key_id), change)


def _moved(old: Job, new: Job) -> dict[str, int]:
    """What a change of status does to the counters."""
    changes = {}
    if old.shown_status != new.shown_status:
        changes = {f"status#{old.shown_status}": -1, f"status#{new.shown_status}": 1}
    if new.is_live and not old.is_live:
        changes |= _alive(new, 1)
    if old.is_live and not new.is_live:
        changes |= _alive(old, -1)
    return changes


def _job(item: table.Item) -> Job:
    return Job(**{name: item[name] for name in Job.__dataclass_fields__ if name in item})


def shown(row: table.Item) -> str:
    """The shown status of a list row."""
    status: str = row["status"]
    return SHOWN.get(status, status)
