"""Evaluating models on demand, as the API answers it."""

from typing import Any

import pytest

from luthier.processing.entity import Processing
from tests.factories import BASE_MODEL, principal
from tests.functional.processing import world
from tests.gateway import Answer, Gateway, api

__all__ = ["api"]

A = principal("org_a")


def evaluate(api: Gateway, model: str, *benchmarks: str, **more: Any) -> Answer:
    return api.post(f"/v2/training/models/{model}/evaluate", {"benchmarks": list(benchmarks)} | more)


def processing(api: Gateway, answer: dict[str, Any]) -> Processing:
    return api.platform.processings.get("org_a", answer["id"])


def test_an_eval_set_is_started_with_202_and_read_later(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    model = world.model(api.platform, A)
    answer = evaluate(api, model.id, "custom_eval_suite")
    assert answer.status == 202
    [started] = answer.json()["evaluations"]
    assert {name: started[name] for name in ("modelId", "version", "benchmark", "status", "score", "error")} == {
        "modelId": model.id, "version": "v1.0.0", "benchmark": "custom_eval_suite", "status": "queued",
        "score": None, "error": None,
    }  # fmt: skip
    world.finish(api.platform, processing(api, started))
    found = api.get(f"/v2/training/models/{model.id}/evaluations/{started['id']}").json()
    assert (found["status"], found["score"], found["metric"]) == ("completed", 85.2, "exact_match")
    assert found["metrics"] == world.TABLE["tuned"]
    assert found["baseMetrics"] == world.TABLE["base"]
    assert found["completedAt"]
    assert api.get(f"/v2/training/models/{model.id}/evaluations").json() == {"evaluations": [found]}


def test_an_operators_benchmark_runs_its_task_files(api: Gateway) -> None:
    world.task_folder(api.platform)
    model = world.model(api.platform, A)
    [started] = evaluate(api, model.id, "hellaswag").json()["evaluations"]
    asked = world.plan(api.platform, processing(api, started))
    places = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in asked["channels"]}
    assert places["tasks"] == "s3://luthier-base-models/benchmarks/hellaswag/"
    assert "validation" not in places
    assert "--max-examples" not in asked["arguments"]
    done = world.finish(api.platform, processing(api, started), {"evaluation.json": world.TASKS_TABLE})
    assert done.result is not None
    assert {name: done.result[name] for name in ("score", "stderr", "metric")} == {
        "score": 76.8, "stderr": 4.0, "metric": "acc_norm",
    }  # fmt: skip


def test_a_base_model_is_judged_alone(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    [started] = evaluate(api, BASE_MODEL, "custom_eval_suite").json()["evaluations"]
    asked = world.plan(api.platform, processing(api, started))
    assert [channel["ChannelName"] for channel in asked["channels"]] == ["base", "validation"]
    alone = {name: value for name, value in world.TABLE.items() if name != "tuned"}
    done = world.finish(api.platform, processing(api, started), {"evaluation.json": alone})
    assert (done.result or {})["score"] == 2.0
    assert (done.result or {})["base"] is None


def test_several_benchmarks_start_together_and_a_name_that_comes_twice_once(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    world.task_folder(api.platform)
    model = world.model(api.platform, A)
    names = ("custom_eval_suite", "hellaswag", "hellaswag")
    found = evaluate(api, model.id, *names).json()["evaluations"]
    assert [entry["benchmark"] for entry in found] == ["custom_eval_suite", "hellaswag"]


def test_the_same_content_is_judged_once_whatever_it_is_called(api: Gateway) -> None:
    first = world.eval_set(api.platform, A)
    world.eval_set(api.platform, A, filename="renamed.jsonl")
    model = world.model(api.platform, A)
    by_id, by_name = (evaluate(api, model.id, name).json()["evaluations"][0] for name in (first, "renamed.jsonl"))
    assert by_id["id"] == by_name["id"]


def test_other_content_another_model_and_more_examples_are_judged_anew(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    models = [world.model(api.platform, A).id for _ in range(2)]
    ids = {evaluate(api, model, "custom_eval_suite").json()["evaluations"][0]["id"] for model in models}
    ids.add(evaluate(api, models[0], "custom_eval_suite", max_examples=7).json()["evaluations"][0]["id"])
    world.eval_set(api.platform, A, count=4)
    ids.add(evaluate(api, models[0], "custom_eval_suite").json()["evaluations"][0]["id"])
    assert len(ids) == 4


def test_a_benchmark_that_the_operator_changes_is_judged_anew(api: Gateway) -> None:
    ids = set()
    for text in ("task: a", "task: b"):
        world.task_folder(api.platform, text=text)
        ids.add(evaluate(api, BASE_MODEL, "hellaswag").json()["evaluations"][0]["id"])
    assert len(ids) == 2


def test_an_unknown_benchmark_is_named_by_its_place_with_all_that_are_known(api: Gateway) -> None:
    world.task_folder(api.platform)
    world.task_folder(api.platform, "truthfulqa")
    refused = evaluate(api, BASE_MODEL, "hellaswag", "helaswag")
    assert refused.status == 400
    body = refused.json()
    assert body["details"]["field"] == "benchmarks[1]"
    assert body["details"]["available"] == ["hellaswag", "truthfulqa"]
    assert body["details"]["nearest"] == ["hellaswag"]
    assert "hellaswag, truthfulqa" in body["message"]
    assert not api.get(f"/v2/training/models/{BASE_MODEL}/evaluations").json()["evaluations"]


def test_an_eval_set_with_bad_lines_is_refused_by_its_lines(api: Gateway) -> None:
    bad = api.platform.datasets.upload(A, filename="bad.jsonl", purpose="evals", content=b"nonsense\n")
    refused = evaluate(api, BASE_MODEL, bad.id)
    assert (refused.status, refused.json()["details"]["reason"]) == (400, "invalid_dataset")
    assert refused.json()["details"]["field"] == "benchmarks[0]"


def test_an_eval_set_that_the_evaluator_would_not_find_is_refused(api: Gateway) -> None:
    file_id = world.eval_set(api.platform, A, filename="suite.txt")
    refused = evaluate(api, BASE_MODEL, file_id)
    assert (refused.status, refused.json()["details"]["field"]) == (400, "benchmarks[0]")
    assert "ends with .jsonl" in refused.json()["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "body"),
        ({}, "benchmarks"),
        ({"benchmarks": []}, "benchmarks"),
        ({"benchmarks": ["x"] * 21}, "benchmarks"),
        ({"benchmarks": "hellaswag"}, "benchmarks"),
        ({"benchmarks": [3]}, "benchmarks[0]"),
        ({"benchmarks": [""]}, "benchmarks[0]"),
        ({"benchmarks": ["x" * 241]}, "benchmarks[0]"),
        ({"benchmarks": ["x"], "max_examples": 0}, "max_examples"),
        ({"benchmarks": ["x"], "max_examples": 10_001}, "max_examples"),
        ({"benchmarks": ["x"], "max_examples": "7"}, "max_examples"),
        ({"benchmarks": ["x"], "maxExamples": 7}, "maxExamples"),
    ],
)
def test_a_wrong_body_is_refused_by_its_field(api: Gateway, body: Any, field: str) -> None:
    refused = api.post(f"/v2/training/models/{BASE_MODEL}/evaluate", body)
    assert (refused.status, refused.json()["details"]["field"]) == (400, field)


def test_a_model_that_is_not_there_is_refused_as_the_page_shapes_it(api: Gateway) -> None:
    refused = evaluate(api, "model_invalid_id", "x")
    assert refused.status == 404
    assert refused.json()["error"] == "MODEL_NOT_FOUND"
    assert refused.json()["details"]["modelId"] == "model_invalid_id"


def test_an_archived_model_is_not_evaluated(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    model = world.model(api.platform, A)
    world.archive(api.platform, model)
    refused = evaluate(api, model.id, "custom_eval_suite")
    assert refused.status == 409
    assert refused.json()["details"]["current_state"] == "archived"


def test_a_name_with_a_slash_is_evaluated_too(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    name = next(name for name in world.model(api.platform, A).names if "/" in name)
    [started] = evaluate(api, name, "custom_eval_suite").json()["evaluations"]
    assert api.get(f"/v2/training/models/{name}/evaluations/{started['id']}").json()["id"] == started["id"]


def test_another_organization_sees_neither_evaluation_nor_file(api: Gateway) -> None:
    file_id = world.eval_set(api.platform, A)
    model = world.model(api.platform, A).id
    [started] = evaluate(api, model, file_id).json()["evaluations"]
    stranger = api.caller("admin", organization_id="org_b")
    assert evaluate(stranger, model, file_id).status == 404
    assert evaluate(stranger, BASE_MODEL, file_id).status == 400
    assert stranger.get(f"/v2/training/models/{BASE_MODEL}/evaluations/{started['id']}").status == 404


def test_an_evaluation_is_found_below_its_own_model_only(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    [started] = evaluate(api, BASE_MODEL, "custom_eval_suite").json()["evaluations"]
    model = world.model(api.platform, A).id
    assert api.get(f"/v2/training/models/{model}/evaluations/{started['id']}").status == 404
    assert api.get(f"/v2/training/models/{BASE_MODEL}/evaluations/proc_x").status == 404


def test_a_key_that_only_reads_starts_nothing(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    assert evaluate(api.caller("models:read"), BASE_MODEL, "custom_eval_suite").status == 403


def test_a_failed_evaluation_says_why(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    [started] = evaluate(api, BASE_MODEL, "custom_eval_suite").json()["evaluations"]
    world.fail(api.platform, processing(api, started), '{"code": "bad_dataset", "message": "m", "hint": "h"}')
    found = api.get(f"/v2/training/models/{BASE_MODEL}/evaluations/{started['id']}").json()
    assert (found["status"], found["completedAt"]) == ("failed", None)
    assert found["error"] == {"code": "bad_dataset", "message": "m", "hint": "h"}
