import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier import table
from luthier.errors import Conflict, InvalidRequest, NotFound
from luthier.jobs.listing import SORTS, STATUSES
from tests.factories import Platform, principal

A, B = principal("org_a"), principal("org_b")


@contextlib.contextmanager
def calls(platform: Platform) -> Iterator[list[str]]:
    """The DynamoDB operations that run inside the block."""
    seen: list[str] = []
    register = platform.dynamodb.meta.events
    register.register("before-call.dynamodb", lambda model, **_: seen.append(model.name), unique_id="count")
    yield seen
    register.unregister("before-call.dynamodb", unique_id="count")


def some_jobs(platform: Platform, count: int) -> list[str]:
    dataset = platform.dataset(A).id
    return [platform.job(A, training_dataset=dataset, name=f"job {i}").id for i in range(count)]


def test_getting_a_job_is_one_read(platform: Platform) -> None:
    job = platform.job(A)
    with calls(platform) as seen:
        platform.jobs.get(A, job.id)
    assert seen == ["GetItem"]


def test_the_newest_page_is_one_query_and_its_count_one_read(platform: Platform) -> None:
    ids = some_jobs(platform, 5)
    with calls(platform) as seen:
        page = platform.jobs.list(A, limit=3)
    assert [row["id"] for row in page.rows] == ids[::-1][:3]
    assert page.count == 5
    assert sorted(seen) == ["GetItem", "Query"]


@pytest.mark.parametrize("filters", [{"status": "queued"}, {"base_model": "smollm2-135m-instruct"}])
def test_one_filter_costs_what_the_plain_page_costs(platform: Platform, filters: dict[str, str]) -> None:
    some_jobs(platform, 4)
    with calls(platform) as seen:
        page = platform.jobs.list(A, limit=2, **filters)
    assert (len(page.rows), page.count) == (2, 4)
    assert sorted(seen) == ["GetItem", "Query"]


def test_statistics_are_one_read(platform: Platform) -> None:
    some_jobs(platform, 2)
    with calls(platform) as seen:
        counts = platform.jobs.stats(A)
    assert (counts.total, counts.by_status) == (2, {"queued": 2})
    assert seen == ["GetItem"]


def test_pages_by_offset_meet_every_job_once(platform: Platform) -> None:
    ids = some_jobs(platform, 7)
    seen = [row["id"] for offset in range(0, 9, 3) for row in platform.jobs.list(A, limit=3, offset=offset).rows]
    assert seen == ids[::-1]


def test_a_page_beyond_the_end_is_empty(platform: Platform) -> None:
    some_jobs(platform, 2)
    assert platform.jobs.list(A, offset=1000).rows == []


def test_oldest_first(platform: Platform) -> None:
    ids = some_jobs(platform, 3)
    assert [row["id"] for row in platform.jobs.list(A, sort="createdAt:asc").rows] == ids


def test_search_looks_into_name_and_description_whatever_the_case(platform: Platform) -> None:
    platform.job(A, name="Support TICKETS")
    platform.job(A, name="Other", description="labels tickets")
    platform.job(A, name="Unrelated")
    page = platform.jobs.list(A, search="tickets", limit=1)
    assert (len(page.rows), page.count) == (1, 2)


def test_both_filters_together_count_exactly(platform: Platform) -> None:
    platform.completed(A)
    platform.job(A)
    page = platform.jobs.list(A, status="queued", base_model="smollm2-135m-instruct")
    assert (len(page.rows), page.count) == (1, 1)


def test_a_job_that_is_preparing_is_listed_as_queued(platform: Platform) -> None:
    job = platform.job(A)
    platform.pipeline.prepare_dataset(platform.step(job))
    assert platform.jobs.list(A, status="queued").count == 1


@pytest.mark.parametrize("sort", [f"{field}:{way}" for field in SORTS for way in ("asc", "desc")])
def test_every_sort_works_and_its_reverse_is_the_reverse(platform: Platform, sort: str) -> None:
    dataset = platform.dataset(A).id
    for name in ("b", "A", "c"):
        platform.job(A, name=name, training_dataset=dataset)
        platform.clock.advance(seconds=5)
    rows = [row["id"] for row in platform.jobs.list(A, sort=sort).rows]
    field, _, way = sort.partition(":")
    other = f"{field}:{'desc' if way == 'asc' else 'asc'}"
    assert rows == [row["id"] for row in platform.jobs.list(A, sort=other).rows][::-1]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"offset": -1}, "offset"),
        ({"sort": "price:desc"}, "sort"),
        ({"sort": "createdAt:up"}, "sort"),
        ({"status": "done"}, "status"),
    ],
)
def test_a_wrong_query_names_its_field(platform: Platform, query: dict, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        platform.jobs.list(A, **query)
    assert refused.value.param == param


def test_organizations_do_not_see_each_other(platform: Platform) -> None:
    platform.job(A)
    assert platform.jobs.list(B).rows == []
    assert platform.jobs.list(B, search="Tickets").count == 0


def test_a_list_row_of_the_documented_example_is_slim() -> None:
    row = {
        "id": "ftjob_01j0000000000000000000000000",
        "name": "Customer Support Classifier",
        "description": "Fine-tuned on 10k support tickets for intent classification",
        "status": "running",
        "base_model": "llama-3.1-8b",
        "owner": "user_456",
        "organization_id": "org_xyz",
        "trained_tokens": 1_250_000,
        **dict.fromkeys(("started_at", "finished_at", "created_at", "updated_at"), "2025-02-01T10:00:00Z"),
    }
    assert set(row) == set(table.SLIM) - {"type", "bytes"}  # which only models have
    assert sum(len(name) + len(str(value)) for name, value in row.items()) <= 420


verbs = st.lists(st.sampled_from(["create", "stop", "fail", "complete", "restart", "delete"]), max_size=8)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verbs)
def test_counters_always_agree_with_the_jobs(platform: Platform, story: list[str]) -> None:
    play(platform, story)
    counts = platform.jobs.stats(A)
    for status in STATUSES:
        assert counts.by_status.get(status, 0) == len(list(platform.job_store.rows("org_a", status=status)))
    assert counts.total == len(list(platform.job_store.rows("org_a")))


def play(platform: Platform, story: list[str]) -> None:
    job = platform.job(A)
    for verb in story:
        if verb == "create":
            job = platform.job(A)
        elif verb == "fail":
            job = platform.failed(A)
        elif verb == "complete":
            job = platform.completed(A)
        else:
            with contextlib.suppress(Conflict, NotFound):
                getattr(platform.jobs, verb)(A, job.id)
