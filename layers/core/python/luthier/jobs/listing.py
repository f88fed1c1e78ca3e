"""Pages of jobs, and what each costs.

Newest (or oldest) first, alone or with one of `status` and `base_model`: one query, the count from counters, flat at
any number of jobs. Deep offsets read the slim rows before the page. Search, other sorts and both filters together
read every slim row of the narrowest index, about 300 bytes each, and count exactly.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from luthier import pages, table
from luthier.errors import InvalidRequest
from luthier.jobs.store import JobStore, shown
from luthier.pages import MAX_LIMIT

# Rows hold the slim attributes (luthier.table.SLIM).
Page = pages.Page[table.Item]

SORTS = {
    "createdAt": "id",
    "updatedAt": "updated_at",
    "startedAt": "started_at",
    "finishedAt": "finished_at",
    "name": "name",
    "status": "status",
    "baseModel": "base_model",
}
STATUSES = ("queued", "running", "paused", "completed", "failed", "stopped")


def page(
    store: JobStore,
    organization_id: str,
    *,
    status: str | None = None,
    base_model: str | None = None,
    search: str | None = None,
    limit: int = 20,
    offset: int = 0,
    sort: str | None = None,
    paused_is_stopped: bool = False,
) -> Page:
    """One page. Raises InvalidRequest for an unknown status or sort and for a limit or offset out of range.

    paused_is_stopped: for surfaces that show five statuses; paused jobs are found among the stopped ones.
    """
    field, ascending = _sort(sort or "createdAt:desc")
    _check(status)
    pages.check(limit, offset)
    statuses = ("stopped", "paused") if paused_is_stopped and status == "stopped" else (status,) if status else ()
    if field == "id" and not search and not (status and base_model):
        rows = _in_order(store, organization_id, statuses, base_model, ascending, limit, offset)
        counts = store.counts(organization_id)
        count = (
            sum(counts.by_status.get(name, 0) for name in statuses)
            if status
            else counts.by_base_model.get(base_model, 0)
            if base_model
            else counts.total
        )
        return Page(list(islice(rows, offset, offset + limit)), count, limit, offset)
    found = [
        row
        for row in _of_statuses(store, organization_id, statuses, base_model=base_model)
        if _matches(row, base_model, search)
    ]
    found.sort(key=pages.by(lambda row: shown(row) if field == "status" else row.get(field)), reverse=not ascending)
    return Page(found[offset : offset + limit], len(found), limit, offset)


def _in_order(
    store: JobStore,
    organization_id: str,
    statuses: tuple[str, ...],
    base_model: str | None,
    ascending: bool,
    limit: int,
    offset: int,
) -> Iterator[table.Item]:
    reach = offset + limit
    if statuses or base_model or reach > MAX_LIMIT:
        size = pages.page_size(limit, offset)
        return _of_statuses(
            store, organization_id, statuses, base_model=base_model, ascending=ascending, page_size=size
        )
    return store.newest(organization_id, page_size=reach, ascending=ascending)


def _of_statuses(
    store: JobStore, organization_id: str, statuses: tuple[str, ...], ascending: bool = False, **query: Any
) -> Iterator[table.Item]:
    """Rows in order of creation, from one query per status."""
    found = [store.rows(organization_id, status=status, ascending=ascending, **query) for status in statuses or (None,)]
    return pages.merged(found, lambda row: row["id"], ascending=ascending)


def _matches(row: table.Item, base_model: str | None, search: str | None) -> bool:
    if base_model and row["base_model"] != base_model:
        return False
    text = f"{row['name']}\n{row.get('description') or ''}".casefold()
    return not search or search.casefold() in text


def _sort(text: str) -> tuple[str, bool]:
    name, _, direction = text.partition(":")
    if name not in SORTS or direction not in ("", "asc", "desc"):
        raise InvalidRequest(
            f"sort is {text!r}; it must be <field>:asc or <field>:desc.",
            param="sort",
            remedy=f"Sort by {', '.join(SORTS)}.",
        )
    return SORTS[name], direction != "desc"


def _check(status: str | None) -> None:
    if status is not None and status not in STATUSES:
        raise InvalidRequest(
            f"status is {status!r}, which no job has.", param="status", remedy=f"Use {', '.join(STATUSES)}."
        )
