"""The account surface: keys, credits, usage and the audit log, each of one organization alone."""

from typing import Any

import pytest

from luthier import clock, wiring
from luthier.accounts.entity import SCOPES
from tests.factories import Platform, principal
from tests.gateway import Gateway

ROOT = "/v1/organization"
KEYS = f"{ROOT}/api_keys"


def created(api: Gateway, **more: Any) -> dict[str, Any]:
    answer = api.post(KEYS, {"name": "CI", "scopes": ["fine-tuning:read"]} | more)
    assert answer.status == 201, answer.text
    return answer.json()


def test_a_created_key_opens_the_api_with_its_scopes_and_no_others(api: Gateway) -> None:
    client = Gateway(api.platform, created(api)["key"])
    assert client.get("/api/v1/fine-tuning/jobs").status == 200
    assert client.get("/v1/files").status == 403
    assert client.post(KEYS, {"name": "n", "scopes": ["admin"]}).status == 403


def test_the_secret_is_shown_once_and_kept_nowhere(api: Gateway) -> None:
    key = created(api)
    shown = api.get(f"{KEYS}/{key['id']}").json()
    assert "key" not in shown
    assert "digest" not in shown
    assert key["key"].startswith(shown["prefix"])
    stored = str(api.platform.dynamodb.scan(TableName="luthier")["Items"])
    assert key["key"] not in stored


def test_no_log_line_holds_a_key(api: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    secret = created(api)["key"]
    client = Gateway(api.platform, secret)
    client.get("/api/v1/fine-tuning/jobs")
    client.post(KEYS, {"name": "n"})
    said = str([vars(record) for record in caplog.records])
    assert "/v1/organization/api_keys" in said
    assert secret not in said
    assert str(api.key) not in said


def test_every_scope_can_be_given_and_no_other(api: Gateway) -> None:
    assert set(created(api, scopes=list(SCOPES))["scopes"]) == set(SCOPES)
    refused = api.post(KEYS, {"name": "n", "scopes": ["everything"]})
    assert (refused.status, refused.json()["error"]["param"]) == (400, "scopes")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "n", "scopes": ["x" * 1_000_000, "admin"]}, "scopes"),
        ({"name": "n", "scopes": ["admin"], "expires_at": "x" * 1_000_000}, "expires_at"),
        ({"name": "n", "scopes": ["admin"], "y" * 1_000_000: 1}, "y"),
    ],
)
def test_an_error_repeats_no_more_of_a_value_than_tells_which_it_was(
    api: Gateway, body: dict[str, Any], param: str
) -> None:
    refused = api.post(KEYS, body)
    error = refused.json()["error"]
    assert (refused.status, len(refused.text) < 1_500) == (400, True), len(refused.text)
    assert error["param"].startswith(param)


def test_a_create_with_a_used_idempotency_key_says_which_key_it_made(api: Gateway) -> None:
    body, headers = {"name": "CI", "scopes": ["admin"]}, {"Idempotency-Key": "k"}
    first = api.post(KEYS, body, headers=headers).json()
    again = api.post(KEYS, body, headers=headers)
    assert (again.status, again.json()["error"]["code"]) == (409, "key_shown_once")
    assert first["id"] in again.text
    other = api.post(KEYS, body | {"name": "Other"}, headers=headers)
    assert (other.status, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert len(api.get(KEYS).json()["data"]) == 2


@pytest.mark.parametrize("expires_at", ["2020-01-01T00:00:00Z", "tomorrow", ""])
def test_a_key_that_would_never_work_is_not_made(api: Gateway, expires_at: str) -> None:
    refused = api.post(KEYS, {"name": "n", "scopes": ["admin"], "expires_at": expires_at})
    assert (refused.status, refused.json()["error"]["param"]) == (400, "expires_at")


def test_keys_are_listed_newest_first_page_by_page(api: Gateway) -> None:
    ids = [created(api)["id"] for _ in range(3)]
    first = api.get(f"{KEYS}?limit=2").json()
    assert [key["id"] for key in first["data"]] == [ids[2], ids[1]]
    assert first["has_more"]
    rest = api.get(f"{KEYS}?limit=2&after={first['last_id']}").json()
    assert rest["data"][0]["id"] == ids[0]
    assert not rest["has_more"]


def test_the_list_tells_when_a_key_was_last_used(api: Gateway) -> None:
    key = created(api)
    assert api.get(f"{KEYS}/{key['id']}").json()["last_used_at"] is None
    Gateway(api.platform, key["key"]).get("/api/v1/fine-tuning/jobs")
    assert api.get(f"{KEYS}/{key['id']}").json()["last_used_at"]


def test_a_revoked_key_is_refused_at_once_and_revoking_is_safe_to_repeat(api: Gateway) -> None:
    key = created(api)
    client = Gateway(api.platform, key["key"])
    assert client.get("/api/v1/fine-tuning/jobs").status == 200
    first = api.delete(f"{KEYS}/{key['id']}")
    assert (first.status, first.json()["deleted"]) == (200, True)
    assert api.delete(f"{KEYS}/{key['id']}").json() == first.json()
    assert client.get("/api/v1/fine-tuning/jobs").status == 401


def test_both_keys_work_while_a_rotation_overlaps(api: Gateway) -> None:
    old = created(api, requests_per_minute=50)
    new = api.post(f"{KEYS}/{old['id']}/rotate", {"overlap_seconds": 3600}).json()
    assert (new["scopes"], new["requests_per_minute"]) == (old["scopes"], 50)
    for secret in (old["key"], new["key"]):
        assert Gateway(api.platform, secret).get("/api/v1/fine-tuning/jobs").status == 200
    shown = api.get(f"{KEYS}/{old['id']}").json()
    assert (shown["replaced_by"], shown["expires_at"] is not None) == (new["id"], True)


def test_a_rotation_without_overlap_ends_the_old_key(api: Gateway) -> None:
    old = created(api)
    assert api.post(f"{KEYS}/{old['id']}/rotate", {"overlap_seconds": 0}).status == 201
    assert Gateway(api.platform, old["key"]).get("/api/v1/fine-tuning/jobs").status == 401
    again = api.post(f"{KEYS}/{old['id']}/rotate", {})
    assert (again.status, again.json()["error"]["code"]) == (409, "state_conflict")


def test_a_rotation_with_a_used_idempotency_key_says_which_key_it_made(api: Gateway) -> None:
    old, other = created(api), created(api)
    body, headers = {"overlap_seconds": 60}, {"Idempotency-Key": "k"}
    new = api.post(f"{KEYS}/{old['id']}/rotate", body, headers=headers).json()
    again = api.post(f"{KEYS}/{old['id']}/rotate", body, headers=headers)
    assert (again.status, again.json()["error"]["code"]) == (409, "key_shown_once")
    assert new["id"] in again.text
    for path, sent in ((f"{KEYS}/{old['id']}", {}), (f"{KEYS}/{other['id']}", body)):
        refused = api.post(f"{path}/rotate", sent, headers=headers)
        assert (refused.status, refused.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert api.get(f"{KEYS}/{other['id']}").json()["replaced_by"] is None


def test_credits_and_their_ledger_are_shown(api: Gateway) -> None:
    api.platform.credits.grant("org_a", 5_000, "welcome")
    assert api.get(f"{ROOT}/credits").json() == {
        "balance_cents": 5_000,
        "held_cents": 0,
        "available_cents": 5_000,
        "billing": False,
    }
    (entry,) = api.get(f"{ROOT}/credits/ledger").json()["data"]
    assert (entry["kind"], entry["amount_cents"], entry["reference"]) == ("grant", 5_000, "welcome")


def test_what_was_done_is_recorded_and_what_was_asked_is_not(api: Gateway) -> None:
    job = api.post(
        "/api/v1/fine-tuning/jobs",
        {"name": "T", "baseModel": "smollm2-135m-instruct", "trainingDataset": api.platform.dataset().id},
    ).json()
    api.post("/api/v1/fine-tuning/estimate-cost", {"baseModel": "smollm2-135m-instruct", "datasetSize": 10})
    api.get("/api/v1/fine-tuning/jobs")
    api.post("/api/v1/fine-tuning/jobs", {})
    stopped = api.post(f"/api/v1/fine-tuning/jobs/{job['id']}/stop")
    newest, oldest = api.get(f"{ROOT}/audit_logs").json()["data"]
    assert (oldest["action"], oldest["resource_id"]) == ("POST /api/v1/fine-tuning/jobs", job["id"])
    assert (newest["action"], newest["resource_id"]) == ("POST /api/v1/fine-tuning/jobs/{job_id}/stop", job["id"])
    assert (newest["status"], newest["ip"], newest["user_id"]) == (200, "203.0.113.7", "user_1")
    assert newest["request_id"] == stopped.headers["x-request-id"]


@pytest.mark.parametrize("headers", [{"Idempotency-Key": "k"}, {"x-stainless-retry-count": "1"}])
def test_what_was_repeated_is_recorded_once(api: Gateway, headers: dict[str, str]) -> None:
    body = {"name": "T", "baseModel": "smollm2-135m-instruct", "trainingDataset": api.platform.dataset().id}
    made = {api.post("/api/v1/fine-tuning/jobs", body, headers=headers).json()["id"] for _ in range(3)}
    entries = api.get(f"{ROOT}/audit_logs").json()["data"]
    assert [entry["resource_id"] for entry in entries] == list(made)


def test_a_repetition_is_recorded_where_the_first_request_died_before_it_was(
    api: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"filename": "a.jsonl", "bytes": 9, "purpose": "fine-tune"}
    with monkeypatch.context() as dying:
        dying.setattr("luthier.audit.service.AuditService._append", lambda *_: None)
        api.post("/v1/files/presigned", body, headers={"Idempotency-Key": "k"})
    again = api.post("/v1/files/presigned", body, headers={"Idempotency-Key": "k"}).json()
    (entry,) = api.get(f"{ROOT}/audit_logs").json()["data"]
    assert entry["resource_id"] == again["file"]["id"]


def test_an_audit_entry_is_kept_as_long_as_the_setting_says(api: Gateway) -> None:
    created(api)
    (entry,) = (row for row in rows(api.platform) if row["sk"]["S"].startswith("AUDIT#"))
    kept = int(entry["ttl"]["N"]) - wiring.audit()._now().timestamp()
    assert 399 < kept / 86_400 <= 400


def test_the_audit_log_can_be_paged(api: Gateway) -> None:
    for _ in range(3):
        created(api)
    first = api.get(f"{ROOT}/audit_logs?limit=2").json()
    rest = api.get(f"{ROOT}/audit_logs?limit=2&after={first['last_id']}").json()
    assert [len(first["data"]), len(rest["data"]), first["has_more"], rest["has_more"]] == [2, 1, True, False]


def test_a_lost_audit_row_does_not_fail_what_was_done(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no table")

    monkeypatch.setattr("luthier.audit.store.AuditStore.append", refuse)
    assert created(api)["id"]


def test_usage_tells_days_kinds_and_models_apart_as_asked(api: Gateway) -> None:
    usage = wiring.usage()
    for model, tokens in (("m1", 10), ("m1", 5), ("m2", 7)):
        usage.meter_inference(principal(), model, prompt_tokens=tokens, completion_tokens=1)
    (day,) = api.get(f"{ROOT}/usage").json()["data"]
    assert (day["requests"], day["prompt_tokens"], day["total_tokens"], day["model"]) == (3, 22, 25, None)
    by_model = api.get(f"{ROOT}/usage?group_by=model").json()["data"]
    assert [(row["model"], row["requests"], row["day"]) for row in by_model] == [("m1", 2, None), ("m2", 1, None)]
    both = api.get(f"{ROOT}/usage?group_by=day&group_by=kind").json()
    assert both["group_by"] == ["day", "kind"]
    assert both["data"][0]["kind"] == "inference"


@pytest.mark.parametrize(
    "query", ["start_time=yesterday", "start_time=2020-01-01&end_time=2025-01-01", "group_by=colour", "limit=3"]
)
def test_a_wrong_question_about_usage_names_its_fault(api: Gateway, query: str) -> None:
    refused = api.get(f"{ROOT}/usage?{query}")
    assert refused.status == 400
    assert refused.json()["error"]["param"]


@pytest.mark.parametrize(
    "query",
    [
        "end_time=0001-01-05T00:00:00Z",
        "start_time=0001-01-01&end_time=0001-01-02",
        "start_time=9999-12-30&end_time=9999-12-31",
    ],
)
def test_usage_at_the_ends_of_the_calendar_is_none(api: Gateway, query: str) -> None:
    answer = api.get(f"{ROOT}/usage?{query}")
    assert (answer.status, answer.json()["data"]) == (200, []), answer.text


@pytest.mark.parametrize(
    "query",
    [
        "end_time=0001-01-01",
        "end_time=9999-12-31T12:00:00Z",
        "start_time=0001-01-01T00:00:00%2B14:00",
        "end_time=99999999999999999999",
        "start_time=2025-01-02&end_time=2025-01-02",
    ],
)
def test_a_time_that_ends_no_span_of_usage_is_refused(api: Gateway, query: str) -> None:
    refused = api.get(f"{ROOT}/usage?{query}")
    assert (refused.status, refused.json()["error"]["param"]) == (400, query.partition("=")[0]), refused.text


def test_the_day_that_an_end_time_falls_into_counts_whole(api: Gateway) -> None:
    wiring.usage().meter_inference(principal(), "m", prompt_tokens=1, completion_tokens=1)
    now = clock.now()
    today, seconds = clock.iso(now)[:10], int(now.timestamp())
    for query in (
        f"start_time={today}T00:00:00Z&end_time={clock.iso(now)}",
        f"start_time={seconds}&end_time={seconds}",
    ):
        answer = api.get(f"{ROOT}/usage?{query}").json()
        assert [row["day"] for row in answer["data"]] == [today]
        assert (answer["start_time"], answer["end_time"] > clock.iso(now)) == (f"{today}T00:00:00Z", True)


def test_another_organization_sees_nothing(api: Gateway) -> None:
    key = created(api)
    api.platform.credits.grant("org_a", 5_000, "welcome")
    other = api.caller("admin", organization_id="org_b")
    assert other.get(f"{KEYS}/{key['id']}").status == 404
    assert other.delete(f"{KEYS}/{key['id']}").status == 404
    assert other.post(f"{KEYS}/{key['id']}/rotate", {}).status == 404
    assert key["id"] not in other.get(KEYS).text
    assert other.get(f"{ROOT}/credits").json()["balance_cents"] == 0
    for path in ("credits/ledger", "usage", "audit_logs"):
        assert other.get(f"{ROOT}/{path}").json()["data"] == []


def rows(platform: Platform) -> list[dict[str, Any]]:
    return platform.dynamodb.scan(TableName="luthier")["Items"]
