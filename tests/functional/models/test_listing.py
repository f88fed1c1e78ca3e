"""Pages of models: what is on them, in which order, and what each costs."""

import itertools
import random
from typing import Any

import pytest

from luthier.errors import InvalidRequest, NotFound
from luthier.models.entity import Unfinished
from luthier.models.listing import SORTS, Wanted
from tests.factories import Platform
from tests.functional.models.world import A, B, calls, copy, deployed, model, some

STATUSES = (None, "ready", "deployed", "archived", "completed")


def ids(platform: Platform, **wanted: Any) -> list[str]:
    return [row.id for row in platform.listing.page(A, Wanted(**wanted)).rows]


def mixed(platform: Platform) -> list[Any]:
    """Two models of each status, of different types, base models, names and sizes."""
    first, *others = some(platform, 6)
    made = [first]
    for number, other in enumerate(others):
        kind = ("llm", "vision")[number % 2]
        base = ("smollm2-135m-instruct", "llama-3.1-8b")[number // 2 % 2]
        made.append(copy(platform, other, type=kind, base_model=base, name=f"m{9 - number}", bytes=number * 1_000))
    for one in made[:2]:
        deployed(platform, one)
    for one in made[2:4]:
        platform.retention.archive(A, one.id)
    return list(platform.listing.page(A, Wanted()).rows)


def test_the_newest_page_is_one_query_its_count_one_read_and_its_rows_another(platform: Platform) -> None:
    made = some(platform, 5)
    with calls(platform) as seen:
        page = platform.listing.page(A, Wanted(limit=3))
    assert [row.id for row in page.rows] == [one.id for one in made[::-1][:3]]
    assert (page.count, page.has_more) == (5, True)
    assert sorted(seen) == ["BatchGetItem", "GetItem", "Query"]


@pytest.mark.parametrize(
    "filters",
    [{"status": "ready"}, {"type": "llm"}, {"base_model": "smollm2-135m-instruct"}, {"type": "llm", "status": "ready"},
     {"ascending": True}, {"offset": 3}],
)  # fmt: skip
def test_one_filter_costs_what_the_plain_page_costs(platform: Platform, filters: dict[str, Any]) -> None:
    some(platform, 5)
    with calls(platform) as seen:
        page = platform.listing.page(A, Wanted(limit=2, **filters))
    assert (len(page.rows), page.count) == (2, 5)
    assert sorted(seen) == ["BatchGetItem", "GetItem", "Query"]


def test_the_model_of_a_job_is_one_read_however_the_job_is_spelled(platform: Platform) -> None:
    made = model(platform)
    unique = made.job_id.partition("_")[2]
    for spelled in (made.job_id, f"job_{unique}", f"ftjob-{unique}"):
        with calls(platform) as seen:
            assert ids(platform, training_job=spelled) == [made.id]
        assert seen == ["GetItem"]
    assert ids(platform, training_job="job_none") == []
    assert ids(platform, training_job=made.job_id, status="archived") == []
    assert ids(platform, training_job=made.job_id, type="vision") == []
    assert ids(platform, training_job=made.job_id, status="training") == []


def test_a_model_is_one_read_by_its_id_and_another_by_a_name(platform: Platform) -> None:
    made = model(platform)
    for name, cost in ((made.id, ["GetItem"]), (made.name, ["GetItem", "GetItem"])):
        with calls(platform) as seen:
            assert platform.listing.get(A, name) == made
        assert seen == cost


def test_a_model_is_listed_by_when_it_was_made_not_by_when_its_job_was(platform: Platform) -> None:
    slow = platform.launched(A)
    quick = model(platform)
    platform.clock.advance(minutes=1)
    late = platform.models.of_job(platform.complete(slow))
    assert late is not None
    assert ids(platform) == [late.id, quick.id]


def test_every_filter_sort_and_page_agrees_with_what_the_models_say(platform: Platform) -> None:
    everything = mixed(platform)
    kinds, bases = (None, "llm", "vision", "custom"), (None, "smollm2-135m-instruct", "llama-3.1-8b", "none")
    queries = list(itertools.product(STATUSES, kinds, bases, SORTS, (True, False)))
    for status, kind, base, sort, ascending in random.Random(7).sample(queries, 60):
        statuses = ("ready", "deployed") if status == "completed" else (status,) if status else STATUSES
        expected = [
            row for row in everything
            if row.status in statuses and kind in (None, row.type) and base in (None, row.base_model)
        ]  # fmt: skip
        expected.sort(key=lambda row: (getattr(row, SORTS[sort]), row.id), reverse=not ascending)
        query = {"status": status, "type": kind, "base_model": base, "sort": sort, "ascending": ascending}
        found = [
            row.id
            for offset in (0, 4, 8, 12)
            for row in platform.listing.page(A, Wanted(limit=4, offset=offset, **query)).rows
        ]
        assert found == [row.id for row in expected], query
        assert platform.listing.page(A, Wanted(**query)).count == len(expected), query


def test_jobs_without_a_model_show_one_to_be(platform: Platform) -> None:
    dataset = platform.dataset(A).id
    running, queued = platform.launched(A, training_dataset=dataset), platform.job(A, training_dataset=dataset)
    failed, stopped = platform.failed(A, training_dataset=dataset), platform.job(A, training_dataset=dataset)
    platform.jobs.stop(A, stopped.id)
    model(platform, training_dataset=dataset)
    for status, jobs in (("training", [queued, running]), ("failed", [failed]), ("cancelled", [stopped])):
        page = platform.listing.page(A, Wanted(status=status))
        assert [row.job_id for row in page.rows] == [job.id for job in jobs]
        assert {row.status for row in page.rows} == {status}
        assert page.count == len(jobs)
        assert platform.listing.page(A, Wanted(status=status, sort="name", base_model="none")).count == 0
        assert platform.listing.page(A, Wanted(status=status, type="vision")).rows == []
        assert ids(platform, status=status, training_job=jobs[0].id) == [page.rows[0].id]
    (first, second) = (ids(platform, status="training", sort="size", limit=1, offset=offset) for offset in (0, 1))
    assert {*first, *second} == {f"model_{job.id.partition('_')[2]}" for job in (queued, running)}


def test_a_model_to_be_is_found_by_the_id_that_it_will_have(platform: Platform) -> None:
    job = platform.launched(A)
    found = platform.listing.get(A, f"model_{job.id.partition('_')[2]}")
    assert isinstance(found, Unfinished)
    assert (found.status, found.job_id) == ("training", job.id)
    platform.complete(job)
    made = platform.listing.get(A, found.id)
    assert (made.id, made.status) == (found.id, "ready")


def test_why_there_is_no_model_is_told(platform: Platform) -> None:
    job = platform.failed(A)
    found = platform.listing.get(A, f"model_{job.id.partition('_')[2]}")
    assert isinstance(found, Unfinished)
    assert found.status_reason is not None
    assert found.status_reason["code"] == "oom"


def test_a_deleted_model_is_not_to_be_again(platform: Platform) -> None:
    made = model(platform)
    platform.retention.delete(A, made.id)
    for name in (made.id, made.name):
        with pytest.raises(NotFound):
            platform.listing.get(A, name)
    assert ids(platform) == []


def test_organizations_do_not_see_each_other(platform: Platform) -> None:
    made = model(platform)
    job = platform.launched(A)
    assert platform.listing.page(B, Wanted()).count == 0
    for wanted in (Wanted(training_job=made.job_id), Wanted(status="training"), Wanted(status="ready", sort="name")):
        assert platform.listing.page(B, wanted).rows == []
    for name in (made.id, made.name, f"model_{job.id.partition('_')[2]}"):
        with pytest.raises(NotFound):
            platform.listing.get(B, name)


@pytest.mark.parametrize(
    ("wanted", "param"), [({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"offset": -1}, "offset")]
)
def test_a_page_out_of_range_is_refused(platform: Platform, wanted: dict[str, int], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        platform.listing.page(A, Wanted(**wanted))
    assert refused.value.param == param


def test_the_counters_follow_every_change(platform: Platform) -> None:
    one = model(platform)
    other = copy(platform, one, type="vision")
    linked = deployed(platform, one)
    counts = platform.model_store.counts("org_a")
    assert counts.by_state == {("ready", "llm"): 0, ("deployed", "llm"): 1, ("ready", "vision"): 1}
    platform.model_store.save(linked, linked.linked("ep_1", None))
    platform.retention.archive(A, one.id)
    platform.retention.delete(A, other.id)
    counts = platform.model_store.counts("org_a")
    assert {state: count for state, count in counts.by_state.items() if count} == {("archived", "llm"): 1}
    assert (counts.total, counts.by_base_model) == (1, {"smollm2-135m-instruct": 1})


def test_a_model_to_be_knows_what_it_goes_on_from(platform: Platform) -> None:
    first = platform.models.of_job(platform.completed(A))
    assert first is not None
    job = platform.job(A, base_model=first.name)
    found = platform.listing.get(A, f"model_{job.id.partition('_')[2]}")
    assert isinstance(found, Unfinished)
    assert found.parent == first.id
