"""How much a key and its organization may send, and how many jobs they may have at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from luthier import wiring
from luthier.accounts.entity import UNLIMITED, Limits, Organization, Principal
from luthier.accounts.limits import RateLimiter
from luthier.errors import RateLimited
from luthier.settings import Settings
from tests.factories import Platform, principal
from tests.gateway import Gateway

JOBS = "/api/v1/fine-tuning/jobs"


def limited(key: int, organization: int, user: str = "user_1") -> Principal:
    return principal(user_id=user, limits=Limits(key, organization))


def admitted(limiter: RateLimiter, who: Principal) -> bool:
    window = limiter.count(who)
    assert window is not None
    return window.count <= window.limit


def test_ten_clients_at_once_get_exactly_the_limit_through(platform: Platform) -> None:
    processes = [RateLimiter(platform.dynamodb, "luthier", platform.clock) for _ in range(10)]

    def send(limiter: RateLimiter) -> int:
        return sum(admitted(limiter, limited(60, 1_000)) for _ in range(12))

    with ThreadPoolExecutor(10) as clients:
        assert sum(clients.map(send, processes)) == 60


def test_the_next_minute_starts_anew(platform: Platform) -> None:
    limiter, who = RateLimiter(platform.dynamodb, "luthier", platform.clock), limited(1, 10)
    assert [admitted(limiter, who) for _ in range(2)] == [True, False]
    platform.clock.advance(minutes=1)
    assert admitted(limiter, who)


def test_keys_share_the_limit_of_their_organization(platform: Platform) -> None:
    limiter = RateLimiter(platform.dynamodb, "luthier", platform.clock)
    sent = [admitted(limiter, limited(10, 3, user)) for user in ("a", "b", "c", "d")]
    assert sent == [True, True, True, False]


def test_two_organizations_do_not_share_anything(platform: Platform) -> None:
    limiter = RateLimiter(platform.dynamodb, "luthier", platform.clock)
    for organization in ("org_a", "org_b"):
        assert admitted(limiter, principal(organization, limits=Limits(1, 1)))


def test_whoever_is_over_the_limit_costs_no_more_writes(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    limiter, who = RateLimiter(platform.dynamodb, "luthier", platform.clock), limited(1, 10)
    calls = [admitted(limiter, who) for _ in range(2)]
    assert calls == [True, False]
    monkeypatch.setattr(limiter, "_add", None)
    assert not admitted(limiter, who)


def test_a_table_that_does_not_answer_stops_nobody(platform: Platform) -> None:
    limiter = RateLimiter(platform.dynamodb, "nowhere", platform.clock)
    assert limiter.count(limited(1, 1)) is None


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "ThrottlingException"])
def test_more_requests_than_the_table_counts_are_refused(
    api: Gateway, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    def throttle(*_: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "too hot"}}, "UpdateItem")

    monkeypatch.setattr(RateLimiter, "_add", throttle)
    refused = api.get(JOBS)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")


def test_no_limit_lies_above_what_can_be_counted() -> None:
    with pytest.raises(ValueError, match="key_requests_per_minute is 1000000"):
        Settings(key_requests_per_minute=1_000_000)


def test_every_authenticated_answer_tells_where_the_caller_stands(api: Gateway) -> None:
    first, second = api.get(JOBS), api.get(f"{JOBS}/ftjob_none")
    assert (first.status, second.status) == (200, 404)
    seen = [
        {name: int(answer.headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")}
        for answer in (first, second)
    ]
    assert seen[0]["limit"] == 600
    assert seen[0]["remaining"] - seen[1]["remaining"] in (1, -598)
    assert "x-ratelimit-limit" not in api.stranger().get(JOBS).headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", JOBS),
        ("GET", "/v1/files"),
        ("POST", "/v2/training/models/m/deploy"),
        ("GET", "/v1/fine-tune/ftjob_1"),
        ("GET", "/v1/organization/api_keys"),
    ],
)
def test_every_surface_says_429_and_when_to_come_back(api: Gateway, method: str, path: str) -> None:
    accounts = wiring.accounts()
    _, secret = accounts.issue_key(
        organization_id="org_a", user_id="u", name="n", scopes=("admin",), requests_per_minute=1
    )
    client = Gateway(api.platform, secret)
    answers = [client.send(method, path) for _ in range(3)]
    refused = answers[-1]
    assert refused.status == 429, refused.text
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert "rate_limit" in refused.text.lower()


def test_an_organization_can_have_limits_of_its_own(api: Gateway) -> None:
    client = api.caller("admin", organization_id="org_b")
    wiring.accounts().limit_organization(Organization("org_b", requests_per_minute=2))
    assert [client.get(JOBS).status for _ in range(3)][-1] == 429


def test_a_job_too_many_is_refused_until_one_ends(platform: Platform) -> None:
    who = principal(limits=replace(UNLIMITED, key_concurrent_jobs=2))
    first = platform.launched(who)
    platform.job(who)
    with pytest.raises(RateLimited) as refused:
        platform.job(who)
    assert (refused.value.code, refused.value.retry_after) == ("concurrent_jobs_exceeded", 60)
    platform.complete(first)
    assert platform.job(who).status == "queued"


def test_a_key_that_may_start_no_job_starts_none(platform: Platform) -> None:
    with pytest.raises(RateLimited):
        platform.job(principal(limits=replace(UNLIMITED, key_concurrent_jobs=0)))


def test_the_jobs_of_all_keys_count_for_the_organization(platform: Platform) -> None:
    limits = replace(UNLIMITED, organization_concurrent_jobs=1)
    platform.job(principal(user_id="a", limits=limits))
    with pytest.raises(RateLimited):
        platform.job(principal(user_id="b", limits=limits))
    platform.job(principal("org_b", limits=limits))


def test_a_restart_counts_like_a_create_for_the_key_that_restarts(platform: Platform) -> None:
    limits = replace(UNLIMITED, key_concurrent_jobs=1)
    first, second = principal(user_id="a", limits=limits), principal(user_id="b", limits=limits)
    failed = platform.failed(first)
    platform.job(first)
    with pytest.raises(RateLimited):
        platform.jobs.restart(first, failed.id)
    assert platform.jobs.restart(second, failed.id).key_id == second.key_id
    with pytest.raises(RateLimited):
        platform.job(second)


def test_a_repeated_create_hears_of_its_job_before_it_hears_of_a_limit(platform: Platform) -> None:
    who = principal(limits=replace(UNLIMITED, key_concurrent_jobs=1))
    request: dict[str, Any] = {"training_dataset": platform.dataset(who).id, "idempotency_key": "k"}
    assert platform.job(who, **request).id == platform.job(who, **request).id


def test_jobs_created_at_once_do_not_exceed_the_limit(platform: Platform) -> None:
    who = principal(limits=replace(UNLIMITED, key_concurrent_jobs=5))
    dataset = platform.dataset(who).id

    def create(_: int) -> bool:
        try:
            platform.job(who, training_dataset=dataset)
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(10) as clients:
        assert sum(clients.map(create, range(10))) == 5
