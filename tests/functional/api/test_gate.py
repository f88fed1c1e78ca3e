"""What every surface does before a route runs: keys, scopes, sizes, names, methods."""

import json
from urllib.parse import quote

import pytest

from luthier import wiring
from luthier.wire import LONGEST_NAME
from tests.factories import BASE_MODEL
from tests.fakes import refusal
from tests.gateway import Gateway

JOBS = "/api/v1/fine-tuning/jobs"
SURFACES = [JOBS, "/v1/files", "/v1/models"]


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize("header", ["X-API-Key", "x-api-key", "Authorization"])
def test_every_surface_takes_the_key_in_either_header(api: Gateway, path: str, header: str) -> None:
    value = f"Bearer {api.key}" if header == "Authorization" else str(api.key)
    assert api.stranger().get(path, headers={header: value}).status == 200


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": "lt_wrong"}, {"Authorization": "Basic dTpw"}, {"X-API-Key": "ü"}]
)
@pytest.mark.parametrize("path", SURFACES)
def test_without_a_valid_key_there_is_no_answer(api: Gateway, path: str, headers: dict[str, str]) -> None:
    refused = api.stranger().get(path, headers=headers)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")


def test_a_key_without_the_scope_is_told_which_one_it_needs(api: Gateway) -> None:
    reader = api.caller("fine-tuning:read")
    assert reader.get(JOBS).status == 200
    refused = reader.post(JOBS, {"not": "even valid"})
    assert refused.status == 403
    details = refused.json()["error"]["details"]
    assert details == {"required": "fine-tuning:write", "present": ["fine-tuning:read"]}


def test_the_key_is_checked_before_the_request(api: Gateway) -> None:
    assert api.stranger().post(JOBS, "{").status == 401


def test_every_answer_carries_a_request_id_and_is_not_cached(api: Gateway) -> None:
    for answer in (api.get(JOBS), api.get(f"{JOBS}/none"), api.stranger().get(JOBS), api.get("/nowhere")):
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.headers["cache-control"] == "no-store"


def test_an_unknown_path_is_a_404_in_json_even_without_a_key(api: Gateway) -> None:
    refused = api.stranger().get("/v1/organization/keys")
    assert (refused.status, refused.json()["error"]["code"]) == (404, "unknown_path")
    assert api.get("/api/v1/fine-tuning/nonsense").json()["error"]["code"] == "unknown_path"


def test_a_wrong_method_is_told_the_right_ones(api: Gateway) -> None:
    refused = api.send("PUT", JOBS, {})
    assert (refused.status, refused.headers["allow"]) == (405, "GET, POST")
    assert refused.json()["error"]["message"] == f"{JOBS} does not answer PUT. Use GET or POST."


def test_options_tells_the_methods_and_head_answers_like_get_without_a_body(api: Gateway) -> None:
    options = api.stranger().send("OPTIONS", JOBS)
    assert (options.status, options.headers["allow"], options.text) == (204, "GET, POST, OPTIONS", "")
    head = api.send("HEAD", JOBS)
    assert (head.status, head.text) == (200, "")
    assert api.send("HEAD", f"{JOBS}/none").status == 404


def test_a_misspelt_query_parameter_is_refused_with_the_right_one(api: Gateway) -> None:
    refused = api.get(f"{JOBS}?basemodel=x")
    assert refused.status == 400
    assert refused.json()["error"]["message"] == "Unknown query parameter `basemodel`. Did you mean `baseModel`?"


def test_a_misspelt_field_is_refused_with_the_right_one(api: Gateway) -> None:
    refused = api.post(JOBS, {"name": "n", "base_model": "b", "trainingDataset": "t"})
    error = refused.json()["error"]
    assert (refused.status, error["code"]) == (400, "unknown_field")
    assert error["message"] == "Unknown field `base_model`. Did you mean `baseModel`?"
    assert [problem["param"] for problem in error["details"]["problems"]] == ["base_model", "baseModel"]


def test_numbers_in_quotes_are_not_numbers(api: Gateway) -> None:
    refused = api.post("/api/v1/fine-tuning/estimate-cost", {"baseModel": "llama-3.1-8b", "datasetSize": "5"})
    assert refused.json()["error"]["message"] == '`datasetSize` must be a valid integer, not "5".'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "The body is not valid JSON: Expecting property name enclosed in double quotes at line 1, column 2."),
        ('{"a": NaN}', "The body is not valid JSON: NaN is not JSON."),
        ('{"a": 1e999}', "The body is not valid JSON: 1e999 is too large."),
        (r'{"a": "\ud800"}', "The body holds half of a surrogate pair."),
        ("[1]", "The body must be a JSON object, not an array."),
        (b"\xff{}", "The body is not UTF-8: byte 0."),
        ("[" * 100_000, None),
        ("", "The request needs a JSON body."),
        (None, "The request needs a JSON body."),
    ],
)
def test_a_broken_body_is_a_400_that_says_where(api: Gateway, body: str | bytes | None, message: str | None) -> None:
    refused = api.send("POST", JOBS, body)
    assert refused.status == 400
    assert message is None or refused.json()["error"]["message"] == message


def test_a_field_sent_to_a_route_without_a_body_is_named(api: Gateway) -> None:
    refused = api.post(f"{JOBS}/ftjob_1/restart", {"fromScratch": True})
    assert (refused.status, refused.json()["error"]["code"]) == (400, "unknown_field")
    assert api.post(f"{JOBS}/ftjob_1/restart", {}).status == 404


@pytest.mark.parametrize("path", [f"{JOBS}/{'x' * 2000}", f"/v1/files/{'x' * 2000}", f"/v1/models/{'x/' * 1000}"])
def test_an_id_that_no_table_could_hold_is_a_404(api: Gateway, path: str) -> None:
    assert api.get(path).status == 404


@pytest.mark.parametrize("character", ["x", "\N{MUSICAL SYMBOL G CLEF}"])
def test_the_longest_names_that_are_taken_fit_into_the_table(api: Gateway, character: str) -> None:
    name = character * LONGEST_NAME
    create = {"name": "n", "baseModel": BASE_MODEL, "trainingDataset": name}
    assert api.post(JOBS, create).json()["error"]["code"] == "dataset_not_found"
    assert api.get(f"{JOBS}?baseModel={quote(name)}&search={quote(name)}").json()["count"] == 0
    assert api.get(f"{JOBS}?baseModel={quote(name)}").json()["count"] == 0
    assert api.get(f"/v1/models/{quote(name)}").status == 404
    assert api.post("/v1/chat/completions", {"model": name, "messages": [{"role": "user"}]}).status == 404
    create["trainingDataset"] = api.platform.dataset().id
    assert api.post(JOBS, create, headers={"Idempotency-Key": name}).status == 201
    assert api.post(JOBS, create, headers={"Idempotency-Key": name + "x"}).status == 400


def test_a_body_that_is_not_json_is_told_the_content_type(api: Gateway) -> None:
    refused = api.send("POST", JOBS, "name=n", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (refused.status, refused.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_a_json_body_in_base64_is_read_too(api: Gateway) -> None:
    body = json.dumps({"baseModel": "llama-3.1-8b", "datasetSize": 10}).encode()
    assert api.send("POST", "/api/v1/fine-tuning/estimate-cost", body).status == 200


@pytest.mark.parametrize("path", [JOBS, "/v1/files", "/v1/chat/completions", "/v2/training/models/m/deploy"])
@pytest.mark.parametrize("body", ["x" * 6_000_000, b"x" * 4_700_000])
def test_a_body_of_6_mb_is_a_413_that_names_the_way_for_large_files(api: Gateway, path: str, body: str | bytes) -> None:
    refused = api.stranger().send("POST", path, body)
    assert refused.status == 413
    assert "POST /v1/files/presigned" in refused.text


def test_a_failure_of_ours_shows_no_inside_but_an_id_to_report(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "jobs", lambda: 1 / 0)
    refused = api.get(JOBS)
    assert refused.status == 500
    request_id = refused.headers["x-request-id"]
    assert refused.json()["error"] == {
        "code": "internal_error",
        "message": f"Luthier failed to answer. Report the request id {request_id}.",
        "details": None,
    }


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "ProvisionedThroughputExceededException", "InternalServerError"]
)
def test_an_aws_service_that_is_busy_makes_a_503_with_retry_after(
    api: Gateway, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    def busy() -> None:
        raise refusal(code, "Rate exceeded for table luthier")

    monkeypatch.setattr(wiring, "jobs", busy)
    refused = api.get(JOBS)
    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    assert "luthier" not in refused.json()["error"]["message"]


def test_the_log_line_of_a_request_holds_neither_key_nor_body(api: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    api.post(JOBS, {"name": "secret-name"})
    line = vars(caplog.records[-1])
    assert (line["route"], line["status"], line["organization_id"]) == (JOBS, 400, "org_a")
    assert str(api.key) not in str(line)
    assert "secret-name" not in str(line)
