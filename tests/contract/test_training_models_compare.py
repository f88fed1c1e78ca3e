"""Comparing models as the training_models page documents it, field for field."""

from typing import Any

import pytest

from luthier.models.entity import Model
from tests.contract.test_fine_tuning_page import assert_as_documented
from tests.factories import BASE_MODEL, principal
from tests.functional.processing import world
from tests.gateway import Answer, Gateway

A = principal("org_a")
METRICS = ["accuracy", "f1_score", "perplexity", "bleu_score"]
BENCHMARKS = ["custom_eval_suite", "hellaswag", "truthfulqa"]
ANSWER: dict[str, Any] = {
    "comparison": {
        "models": [
            {
                "id": "model_1234567890abcdef",
                "name": "llama-7b-customer-support",
                "version": "v1.0.0",
                "metrics": {"accuracy": 0.892, "f1_score": 0.885, "perplexity": 12.45, "bleu_score": 0.78},
                "benchmarks": {"custom_eval_suite": 85.2, "hellaswag": 76.8, "truthfulqa": 42.3},
            }
        ],
        "best_performing": {
            "accuracy": "model_1234567890abcdef",
            "f1_score": "model_2345678901bcdefg",
            "perplexity": "model_3456789012cdefgh",
        },
        "recommendations": [
            "model_1234567890abcdef shows best overall performance",
            "Consider model_2345678901bcdefg for precision-critical tasks",
        ],
    }
}


def measured(**tuned: float) -> dict[str, Any]:
    """A card's evaluation in which the tuned model has these numbers."""
    return world.TABLE | {"tuned": world.TABLE["tuned"] | tuned}


def three(api: Gateway) -> list[Model]:
    """Three models: the first is best in most, the second in F1, the third in perplexity."""
    return [
        world.model(api.platform, A, measured(exact_match=accuracy, f1=f1, perplexity=perplexity, bleu=bleu))
        for accuracy, f1, perplexity, bleu in (
            (0.892, 0.885, 12.45, 78.0),
            (0.4, 0.93, 13.0, 70.0),
            (0.3, 0.8, 11.0, 60.0),
        )
    ]


def compare(api: Gateway, *models: str, **more: Any) -> Answer:
    return api.post("/v2/training/models/compare", {"models": list(models)} | more)


def finish_all(api: Gateway, pending: list[dict[str, Any]]) -> None:
    for entry in pending:
        processing = api.platform.processings.get("org_a", entry["evaluationId"])
        tasks = entry["benchmark"] != "custom_eval_suite"
        score = {"metric": "acc", "samples": 100, "tuned": {"value": 0.768, "stderr": 0.04}}
        table = {"complete": True, "tuned": {"tasks": {}}, "scores": {entry["benchmark"]: score}}
        world.finish(api.platform, processing, {"evaluation.json": table if tasks else world.TABLE})


def test_the_page_example(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    for name in ("hellaswag", "truthfulqa"):
        world.task_folder(api.platform, name)
    models = three(api)
    body = {"metrics": METRICS, "benchmarks": BENCHMARKS}
    started = compare(api, *(model.id for model in models), **body)
    assert started.status == 200
    finish_all(api, started.json()["comparison"]["pending"])

    answer = compare(api, *(model.id for model in models), **body).json()
    assert_as_documented(ANSWER, answer)
    comparison = answer["comparison"]
    assert comparison["pending"] == []
    first, second, third = (model.id for model in models)
    assert [row["id"] for row in comparison["models"]] == [first, second, third]
    row = comparison["models"][0]
    assert list(row)[:5] == list(ANSWER["comparison"]["models"][0])
    assert (row["name"], row["version"]) == (models[0].name, "v1.0.0")
    assert row["metrics"] == ANSWER["comparison"]["models"][0]["metrics"]
    assert row["benchmarks"] == {"custom_eval_suite": 85.2, "hellaswag": 76.8, "truthfulqa": 76.8}
    best = comparison["best_performing"]
    assert {name: best[name] for name in ("accuracy", "f1_score", "perplexity")} == {
        "accuracy": first, "f1_score": second, "perplexity": third,
    }  # fmt: skip
    assert set(best) == {*METRICS, *BENCHMARKS}
    assert comparison["recommendations"][0].startswith(f"{first} shows best overall performance")
    assert (
        comparison["recommendations"][1] == f"Consider {second} where this matters most: f1_score (0.93 against 0.885)"
    )


def test_missing_benchmarks_are_null_and_pending_until_they_are_measured(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    models = [world.model(api.platform, A).id for _ in range(2)]
    comparison = compare(api, *models, benchmarks=["custom_eval_suite"]).json()["comparison"]
    assert [row["benchmarks"] for row in comparison["models"]] == [{"custom_eval_suite": None}] * 2
    assert [(entry["model"], entry["benchmark"], entry["status"]) for entry in comparison["pending"]] == [
        (model, "custom_eval_suite", "queued") for model in models
    ]
    assert comparison["best_performing"]["custom_eval_suite"] is None
    finish_all(api, comparison["pending"][:1])
    comparison = compare(api, *models, benchmarks=["custom_eval_suite"]).json()["comparison"]
    assert [row["benchmarks"]["custom_eval_suite"] for row in comparison["models"]] == [85.2, None]
    assert [entry["model"] for entry in comparison["pending"]] == models[1:]


def test_asking_again_does_not_start_again_what_has_failed(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    model = world.model(api.platform, A).id
    [entry] = compare(api, model, benchmarks=["custom_eval_suite"]).json()["comparison"]["pending"]
    world.fail(api.platform, api.platform.processings.get("org_a", entry["evaluationId"]), "ClientError: no")
    [entry] = compare(api, model, benchmarks=["custom_eval_suite"]).json()["comparison"]["pending"]
    assert (entry["status"], entry["error"]["code"]) == ("failed", "processing_failed")


def test_a_base_model_is_compared_by_the_card_of_what_was_tuned_from_it(api: Gateway) -> None:
    model = world.model(api.platform, A)
    base, tuned = compare(api, BASE_MODEL, model.id, metrics=["exact_match", "loss"]).json()["comparison"]["models"]
    assert (base["metrics"], tuned["metrics"]) == (
        {"exact_match": 0.02, "loss": 2.5},
        {"exact_match": 0.852, "loss": 0.5},
    )
    assert base["measuredOn"] == tuned["measuredOn"] == {"sha256": "b" * 64, "examples": 50, "cardOf": model.id}


def test_a_base_model_that_nothing_compared_was_tuned_from_has_no_numbers(api: Gateway) -> None:
    model = world.model(api.platform, A)
    rows = compare(api, "llama-3.1-8b", model.id, metrics=["loss"]).json()["comparison"]["models"]
    assert (rows[0]["metrics"], rows[0]["measuredOn"]) == ({"loss": None}, None)


def test_a_metric_that_a_model_lacks_is_null_and_never_invented(api: Gateway) -> None:
    bare = world.model(api.platform, A, {"failed": "oom", "message": "m"}, dataset={})
    full = world.model(api.platform, A)
    comparison = compare(api, bare.id, full.id, metrics=[*METRICS, "training_loss"]).json()["comparison"]
    assert comparison["models"][0]["metrics"] == {**dict.fromkeys(METRICS), "training_loss": 0.2}
    assert comparison["best_performing"]["accuracy"] == full.id


def test_by_default_all_metrics_that_any_model_has_are_compared(api: Gateway) -> None:
    metrics = compare(api, world.model(api.platform, A).id).json()["comparison"]["models"][0]["metrics"]
    assert set(metrics) == {
        "accuracy", "f1_score", "perplexity", "bleu_score", "loss", "exact_match", "token_accuracy", "training_loss",
    }  # fmt: skip


def test_models_are_named_by_any_of_their_names(api: Gateway) -> None:
    model = world.model(api.platform, A)
    for name in model.names:
        assert compare(api, name).json()["comparison"]["models"][0]["id"] == model.id


def test_models_that_were_judged_on_other_rows_are_called_incomparable(api: Gateway) -> None:
    other = world.HELD_OUT | {"validation": {"sha256": "c" * 64, "rows": 50}}
    models = [world.model(api.platform, A).id, world.model(api.platform, A, dataset=other).id]
    told = compare(api, *models, metrics=METRICS).json()["comparison"]["recommendations"]
    assert told[0].startswith(f"{models[0]} and {models[1]} were not judged on the same held-out rows")


def test_a_small_difference_is_called_noise(api: Gateway) -> None:
    models = [world.model(api.platform, A, measured(exact_match=value)).id for value in (0.86, 0.84)]
    told = compare(api, *models, metrics=["exact_match"]).json()["comparison"]["recommendations"]
    assert told[-1] == (
        f"The difference in exact_match between {models[0]} and {models[1]} (0.86 against 0.84) is within noise"
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "models"),
        ({"models": []}, "models"),
        ({"models": ["m"] * 11}, "models"),
        ({"models": "m"}, "models"),
        ({"models": [1]}, "models[0]"),
        ({"models": [BASE_MODEL, BASE_MODEL]}, "models[1]"),
        ({"models": [BASE_MODEL], "metrics": ["accuracy", "acuracy"]}, "metrics[1]"),
        ({"models": [BASE_MODEL], "metrics": "accuracy"}, "metrics"),
        ({"models": [BASE_MODEL], "benchmarks": ["nothing"]}, "benchmarks[0]"),
        ({"models": [BASE_MODEL], "benchmarks": ["b"] * 11}, "benchmarks"),
        ({"models": [BASE_MODEL], "benchmarks": None}, "benchmarks"),
        ({"models": [BASE_MODEL], "order": "asc"}, "order"),
    ],
)
def test_a_wrong_body_is_refused_by_its_field(api: Gateway, body: dict[str, Any], field: str) -> None:
    refused = api.post("/v2/training/models/compare", body)
    assert (refused.status, refused.json()["details"]["field"]) == (400, field)


def test_an_unknown_metric_is_answered_with_those_that_are_known(api: Gateway) -> None:
    refused = compare(api, BASE_MODEL, metrics=["speed"]).json()
    assert refused["error"] == "VALIDATION_ERROR"
    assert set(METRICS) <= set(refused["details"]["available"])


def test_a_model_that_is_not_there_is_named_by_its_place(api: Gateway) -> None:
    refused = compare(api, BASE_MODEL, "model_invalid_id")
    assert refused.status == 404
    assert refused.json()["error"] == "MODEL_NOT_FOUND"
    assert refused.json()["details"] == {"resource": "models[1]", "modelId": "model_invalid_id"}


def test_another_organizations_model_is_not_there(api: Gateway) -> None:
    model = world.model(api.platform, A).id
    assert compare(api.caller("admin", organization_id="org_b"), model).status == 404


def test_an_archived_model_is_compared_by_what_was_measured_of_it_before(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    before, after = world.model(api.platform, A), world.model(api.platform, A)
    finish_all(api, compare(api, before.id, benchmarks=["custom_eval_suite"]).json()["comparison"]["pending"])
    for model in (before, after):
        world.archive(api.platform, model)
    row = compare(api, before.id, benchmarks=["custom_eval_suite"]).json()["comparison"]["models"][0]
    assert row["benchmarks"] == {"custom_eval_suite": 85.2}
    refused = compare(api, BASE_MODEL, after.id, benchmarks=["custom_eval_suite"])
    assert (refused.status, refused.json()["error"]) == (409, "STATE_CONFLICT")
    assert len([started for started in api.platform.states.started if "processing" in started["stateMachineArn"]]) == 1


def test_nothing_is_started_where_any_part_of_the_wish_is_wrong(api: Gateway) -> None:
    world.eval_set(api.platform, A)
    compare(api, BASE_MODEL, benchmarks=["custom_eval_suite"], metrics=["speed"])
    compare(api, BASE_MODEL, benchmarks=["custom_eval_suite", "nothing"])
    assert not [started for started in api.platform.states.started if "processing" in started["stateMachineArn"]]
