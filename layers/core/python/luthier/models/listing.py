"""Pages of models, and what each costs.

Newest (or oldest) first, alone or with `status`, `type`, both, or `base_model`: the query of an index (one for each
status and type that is asked for and in use), the count from counters, and the page's rows in one read; flat at any
number of models. A job's model is one read. Deep offsets read the slim rows before the page. Other sorts and other
combinations read every slim row of the narrowest index, about 300 bytes each, and count exactly.

Models to be are shown as their jobs are found, which costs what luthier.jobs.listing says.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice

from luthier import pages, table
from luthier.accounts.entity import Principal
from luthier.jobs.entity import Job
from luthier.jobs.store import JobStore, shown
from luthier.models.entity import (
    DEPLOYED,
    READY,
    STATUSES,
    TYPES,
    Model,
    Unfinished,
    id_of_job,
    job_of_id,
    job_statuses,
    unfinished,
)
from luthier.models.service import ModelService, not_found
from luthier.models.store import ModelStore
from luthier.pages import Page

Listed = Model | Unfinished
COMPLETED = "completed"
SORTS = {"created_at": "created_at", "updated_at": "updated_at", "name": "name", "size": "bytes"}


@dataclass(frozen=True)
class Wanted:
    """What a page is asked for. type: of TYPES; sort: of SORTS; training_job: any spelling of a job's id.

    status: of a model or a model to be, or `completed` for ready and deployed ones; None: every model, archived ones
    too, and no models to be.
    """

    type: str | None = None
    status: str | None = None
    base_model: str | None = None
    training_job: str | None = None
    sort: str = "created_at"
    ascending: bool = False
    limit: int = 50
    offset: int = 0

    @property
    def statuses(self) -> tuple[str, ...]:
        """Those of models that are asked for."""
        if self.status == COMPLETED:
            return (READY, DEPLOYED)
        return STATUSES if self.status is None else tuple(one for one in STATUSES if one == self.status)

    @property
    def types(self) -> tuple[str, ...]:
        return TYPES if self.type is None else (self.type,)

    @property
    def by_age(self) -> bool:
        return self.sort == "created_at"

    def page(self, rows: Iterable[table.Item]) -> list[table.Item]:
        return list(islice(rows, self.offset, self.offset + self.limit))

    def sorted(self, rows: Iterable[table.Item]) -> list[table.Item]:
        field = SORTS[self.sort]
        return sorted(rows, key=pages.by(lambda row: row.get(field)), reverse=not self.ascending)


class ModelListing:
    def __init__(self, models: ModelService, store: ModelStore, jobs: JobStore) -> None:
        self._models = models
        self._store = store
        self._jobs = jobs

    def get(self, principal: Principal, name: str) -> Listed:
        """The model behind an id or public name, or the model to be behind its id. Raises NotFound."""
        organization_id = principal.organization_id
        found = self._models.find(organization_id, name) or self._models.to_be(organization_id, name)
        if found is None:
            raise not_found(name)
        return found

    def page(self, principal: Principal, wanted: Wanted) -> Page[Listed]:
        """Raises InvalidRequest for a limit or an offset that is out of range."""
        pages.check(wanted.limit, wanted.offset)
        org = principal.organization_id
        if wanted.training_job is not None:
            return self._of_job(org, wanted)
        if job_statuses(wanted.status or ""):
            return self._to_be(org, wanted)
        rows, count = self._rows(org, wanted)
        ids = [row["id"] for row in wanted.page(rows)]
        found = self._store.get_many(org, ids)
        return Page([found[one] for one in ids if one in found], count, wanted.limit, wanted.offset)

    def _rows(self, org: str, wanted: Wanted) -> tuple[Iterable[table.Item], int]:
        """Slim rows from the first to the end of the page or further, in order, and the number of all."""
        filtered = wanted.status is not None or wanted.type is not None
        if not wanted.by_age or (filtered and wanted.base_model):
            found = wanted.sorted(row for row in self._narrowed(org, wanted, filtered) if _matches(row, wanted))
            return found, len(found)
        counts, size = self._store.counts(org), pages.page_size(wanted.limit, wanted.offset)
        if filtered:
            states = counts.states(wanted.statuses, wanted.types)
            return self._of_states(org, wanted, states, size), sum(states.values())
        rows = self._store.rows(org, base_model=wanted.base_model, ascending=wanted.ascending, page_size=size)
        return rows, counts.by_base_model.get(wanted.base_model, 0) if wanted.base_model else counts.total

    def _narrowed(self, org: str, wanted: Wanted, filtered: bool) -> Iterator[table.Item]:
        if filtered and not wanted.base_model:
            states = self._store.counts(org).states(wanted.statuses, wanted.types)
            return self._of_states(org, wanted, states, None)
        return self._store.rows(org, base_model=wanted.base_model)

    def _of_states(
        self, org: str, wanted: Wanted, states: Iterable[tuple[str, str]], size: int | None
    ) -> Iterator[table.Item]:
        found = [
            self._store.rows(org, state=state, ascending=wanted.ascending, page_size=size) for state in sorted(states)
        ]
        return pages.merged(found, lambda row: (row["created_at"], row["id"]), ascending=wanted.ascending)

    def _of_job(self, org: str, wanted: Wanted) -> Page[Listed]:
        """The model of a job, or what the job shows of it where models to be are asked for."""
        found: list[Listed] = []
        model_id = id_of_job(wanted.training_job or "")
        if job_statuses(wanted.status or ""):
            job = self._jobs.get(org, job_of_id(model_id))
            found += [one for one in [_seen(job) if job else None] if one and one.status == wanted.status]
        elif (model := self._store.get(org, model_id)) and model.status in wanted.statuses:
            found.append(model)
        found = [one for one in found if _matches({"base_model": one.base_model, "type": one.type}, wanted)]
        return Page(found[wanted.offset : wanted.offset + wanted.limit], len(found), wanted.limit, wanted.offset)

    def _to_be(self, org: str, wanted: Wanted) -> Page[Listed]:
        statuses, size = job_statuses(wanted.status or ""), pages.page_size(wanted.limit, wanted.offset)
        whole = not wanted.by_age or wanted.base_model is not None
        queries = [
            self._jobs.rows(org, status=one, ascending=wanted.ascending, page_size=None if whole else size)
            for one in statuses
        ]
        rows: Iterable[table.Item] = pages.merged(queries, lambda row: row["id"], ascending=wanted.ascending)
        if whole:
            rows = [row for row in rows if wanted.base_model in (None, row["base_model"])]
            count = len(rows)
            rows = rows if wanted.by_age else wanted.sorted(rows)
        else:
            counts = self._jobs.counts(org).by_status
            count = sum(counts.get(one, 0) for one in statuses)
        if "llm" not in wanted.types:
            rows, count = [], 0
        found = (unfinished(row, shown(row)) for row in wanted.page(rows))
        return Page([one for one in found if one], count, wanted.limit, wanted.offset)


def _seen(job: Job) -> Unfinished | None:
    return unfinished(asdict(job), job.shown_status)


def _matches(row: table.Item, wanted: Wanted) -> bool:
    return (
        wanted.base_model in (None, row["base_model"])
        and row["type"] in wanted.types
        and ("status" not in row or row["status"] in wanted.statuses)
    )
