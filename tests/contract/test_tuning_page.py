"""Fine-tuning and errors as the tuning page documents them, its curl call replayed byte for byte."""

import pytest

from luthier import wiring
from tests.contract import tuning_page as page
from tests.contract.test_fine_tuning_page import assert_as_documented
from tests.factories import metrics_line, rows
from tests.gateway import Answer, Gateway

JOBS = "/v1/fine-tune"
JSON = {"Content-Type": "application/json"}


def curl(api: Gateway, key: str | None = None) -> Answer:
    """The page's call; its dataset stands in for the file that this test has uploaded."""
    dataset = api.platform.dataset().id
    body = page.FINE_TUNE.replace(page.FIELDS["dataset"], dataset)
    headers = JSON | {"Authorization": f"Bearer {key or api.key}"}
    return api.stranger().send("POST", JOBS, body, headers=headers)


def test_the_curl_call_starts_a_fine_tune(api: Gateway) -> None:
    started = curl(api)
    assert started.status == 201, started.text
    assert list(started.json()) == list(page.STARTED)
    assert_as_documented(page.STARTED, started.json())
    assert [started.json()[key] for key in ("status", "baseModel")] == ["queued", page.FIELDS["baseModel"]]


def test_the_status_shows_metrics_and_progress(api: Gateway) -> None:
    job = api.platform.fresh_by_id(curl(api).json()["jobId"])
    api.platform.launch(job)
    api.platform.watcher.metrics_written(api.platform.write_metrics(job, metrics_line(2), metrics_line(4)))
    shown = api.get(f"{JOBS}/{job.id}").json()
    assert_as_documented(page.STATUS | {"hyperparameters": None}, shown)
    fixed = ("progress", "metrics", "webhookUrl", "trainingMethod", "artifact", "error")
    assert {key: shown[key] for key in fixed} == {key: page.STATUS[key] for key in fixed}
    given = page.FIELDS["hyperparameters"]
    assert {key: shown["hyperparameters"][key] for key in given} == given
    assert shown["status"] == "running"


def test_the_status_of_an_ended_job_names_its_artifact_or_its_error(api: Gateway) -> None:
    completed, failed = api.platform.completed(), api.platform.failed()
    shown = api.get(f"{JOBS}/{completed.id}").json()
    assert (shown["status"], shown["artifact"], shown["error"]) == ("completed", completed.result_model, None)
    shown = api.get(f"{JOBS}/{failed.id}").json()
    assert (shown["status"], shown["error"]["code"], shown["error"]["hint"]) == ("failed", "oom", "h")


def test_a_wrong_key_is_answered_as_the_page_shows(api: Gateway) -> None:
    refused = curl(api, key="YOUR_API_KEY")
    assert_refused(refused, 401)
    assert refused.json()["error"]["details"] is None


def assert_refused(refused: Answer, status: int) -> None:
    assert refused.status == status, refused.text
    assert set(refused.json()) == {"error"}
    assert list(refused.json()["error"]) == list(page.ERROR["error"])
    assert refused.json()["error"]["code"] == page.CODES[status]


def deployed_with(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LUTHIER_{name}", value)
    wiring.reset()


def test_a_fine_tune_that_the_credits_do_not_cover_is_a_402(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed_with(monkeypatch, "BILLING", "on")
    assert_refused(curl(api), 402)


def test_too_many_requests_are_a_429_that_says_when_to_come_back(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed_with(monkeypatch, "KEY_REQUESTS_PER_MINUTE", "1")
    first, second, third = (curl(api) for _ in range(3))
    refused = third if second.status == 201 else second
    assert first.status == 201
    assert_refused(refused, 429)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-remaining"] == "0"


def test_what_nobody_expected_is_a_500_without_a_word_of_its_inside(
    api: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(wiring.jobs(), "create", fail)
    refused = curl(api)
    assert_refused(refused, 500)
    assert "secret" not in refused.text
    assert refused.headers["x-request-id"] in refused.text


def test_an_unknown_job_is_a_404_in_the_shape_of_the_page(api: Gateway) -> None:
    assert_refused(api.get(f"{JOBS}/job-uuid"), 404)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset", "file-none"),
        ("exports", "onnx"),
        ("evaluation", {"maxExamples": 0}),
        ("evaluation", {"tasks": []}),
        ("trainingMethod", "magic"),
        ("webhookUrl", "http://app.yourdomain.com"),
        ("webhookUrl", "not an address"),
        ("maxCost", 0),
        ("hyperparameters", {"epochs": 0}),
        ("basemodel", "x"),
    ],
)
def test_a_wrong_field_is_named_as_this_page_names_it(api: Gateway, field: str, value: object) -> None:
    body = page.FIELDS | {"dataset": api.platform.dataset().id} | {field: value}
    refused = api.post(JOBS, body)
    error = refused.json()["error"]
    assert (refused.status, error["details"]["param"].split(".")[0]) == (400, field), error
    assert field in error["message"]


def test_a_webhook_url_that_is_not_public_is_refused_at_once(api: Gateway) -> None:
    body = page.FIELDS | {"dataset": api.platform.dataset().id, "webhookUrl": "https://127.0.0.1/hook"}
    error = api.post(JOBS, body).json()["error"]
    assert (error["code"], error["details"]["param"]) == ("ADDRESS_REFUSED", "webhookUrl")


def test_the_pages_own_dataset_is_read_once_the_operator_lists_its_bucket(
    api: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.platform.s3.create_bucket(Bucket="your-bucket")
    api.platform.s3.put_object(Bucket="your-bucket", Key="dataset.jsonl", Body=rows())
    refused = api.stranger().send("POST", JOBS, page.FINE_TUNE, headers=JSON | {"X-API-Key": str(api.key)})
    assert (refused.status, refused.json()["error"]["code"]) == (400, "BUCKET_NOT_LISTED")
    monkeypatch.setenv("LUTHIER_DATASET_BUCKETS", "your-bucket")
    wiring.reset()
    started = api.stranger().send("POST", JOBS, page.FINE_TUNE, headers=JSON | {"X-API-Key": str(api.key)})
    assert started.status == 201, started.text
    assert api.get(f"{JOBS}/{started.json()['jobId']}").json()["dataset"].startswith("file-")


@pytest.mark.parametrize("dataset", ["https://[::1", "s3://[x/y", "https://", "s3://", "https://%zz"])
def test_an_address_that_cannot_be_read_is_a_400(api: Gateway, dataset: str) -> None:
    refused = api.post("/v1/fine-tune", {"baseModel": "smollm2-135m-instruct", "dataset": dataset})
    assert (refused.status, refused.json()["error"]["details"]["param"]) == (400, "dataset")
