"""The registry's part of the training_models page, replayed: each documented key, in its place, of its type."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from functions.api.build_openapi import build
from luthier.models.entity import Model
from tests.contract import training_models_page as page
from tests.contract.test_fine_tuning_page import assert_as_documented
from tests.factories import Platform, principal
from tests.gateway import Gateway

MODELS = "/v2/training/models"
CARD: dict[str, Any] = {
    "metrics": {"training_loss": 0.234, "validation_loss": 0.267, "perplexity": 12.45, "token_accuracy": 0.9},
    "architecture": page.DETAILS["architecture"],
    "training": page.DETAILS["training"] | {"best_loss": 0.198},
    "evaluation": {
        "examples": 20,
        "answered": 20,
        "tuned": {"loss": 0.267, "exact_match": 0.892, "f1": 0.885, "bleu": 78.0}
        | {"tasks": {"helpfulness": {"score": 8.7}}},
    },
    "dataset": {"train": {"sha256": "a" * 64, "rows": 3}, "validation": None},
    "base_model": {"id": "smollm2-135m-instruct", "revision": "main"},
}  # fmt: skip
FACTS = {"environment": "production", "status": "active", "workers": 3, "created_at": "2026-01-01T00:00:00Z"}


def whole(platform: Platform) -> Model:
    """A model of which everything is known, with two deployments that take requests."""
    job = platform.complete(platform.launched(description="For support", suffix="support"), **CARD)
    model = platform.models.get(principal(), job.result_model or "")
    for name in ("ep_prod_support_chat", "ep_staging_support_chat"):
        model = platform.model_store.save(model, model.linked(name, FACTS | {"name": name}))
    told = {"tags": ["production"], "metadata": page.DETAILS["metadata"], "compressed_bytes": 1_000}
    return platform.model_store.save(model, replace(model, **told))


def test_list_models(api: Gateway) -> None:
    model = whole(api.platform)
    listed = api.get(MODELS).json()
    assert_as_documented(page.PAGE, listed)
    assert list(listed) == list(page.PAGE)
    assert listed["pagination"] == {"total": 1, "limit": 50, "offset": 0, "hasMore": False}
    (item,) = listed["models"]
    for key, documented in page.GENERATED_ITEM.items():
        assert_as_documented(documented, item[key], key)
    assert (item["id"], item["modelId"], item["type"], item["modelType"]) == (model.id, model.id, "llm", "llm")
    assert (item["status"], item["framework"], item["version"]) == ("deployed", "pytorch", "v1.0.0")
    assert item["metrics"] == {"finalLoss": 0.234, "accuracy": 0.892, "perplexity": 12.45}
    assert item["size"] == {"parameters": 135_000_000, "bytes": 3_000_700, "compressed": 1_000}
    assert item["deployments"] == {"active": 2, "endpoints": ["ep_prod_support_chat", "ep_staging_support_chat"]}
    assert listed["total"] == 1


def test_the_parameters_of_the_list_are_those_of_both_layers() -> None:
    described = build()["paths"][MODELS]["get"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in described}
    for name, values in page.PARAMETERS.items():
        options = schemas[name].get("anyOf", [schemas[name]])
        assert next(option["enum"] for option in options if "enum" in option) == values
    assert {"trainingJobId", "limit", "offset", "baseModel"} == set(schemas) - set(page.PARAMETERS)
    assert [schemas["limit"][rule] for rule in ("minimum", "maximum", "default")] == [1, 100, 50]
    assert "20" in next(parameter["description"] for parameter in described if parameter["name"] == "limit")
    assert (schemas["sort"]["default"], schemas["order"]["default"]) == ("created_at", "desc")


def test_get_model_details(api: Gateway) -> None:
    model = whole(api.platform)
    shown = api.get(f"{MODELS}/{model.id}").json()
    assert_as_documented(page.DETAILS, shown)
    assert (shown["description"], shown["datasetId"]) == ("For support", model.datasets[0]["file_id"])
    assert shown["architecture"] == page.DETAILS["architecture"]
    assert shown["training"] == page.DETAILS["training"]
    assert shown["size"]["trainable_parameters"] == 900_000
    # The page's numbers do not fit together: a loss of 0.234 is a perplexity of 1.26.
    perplexity = {"perplexity": pytest.approx(1.2636, abs=1e-4)}
    assert shown["metrics"]["training"] == page.DETAILS["metrics"]["training"] | perplexity
    assert shown["metrics"]["validation"] | page.DETAILS["metrics"]["validation"] == shown["metrics"]["validation"]
    assert shown["metrics"]["custom"] == {"helpfulness_score": 8.7}
    assert [(file["name"], file["type"], file["checksum"]) for file in shown["files"]] == [
        ("adapter_config.json", "configuration", f"sha256:{'0' * 64}"),
        ("adapter_model.safetensors", "model_weights", f"sha256:{'0' * 64}"),
    ]
    assert shown["deployments"][0]["url"] == "https://api.example.test/v2/ep_prod_support_chat/runsync"
    assert shown["lineage"] == {
        "jobId": model.job_id,
        "datasets": [{"role": "train", "fileId": shown["datasetId"], "sha256": "a" * 64, "rows": 3}],
        "parentModel": None,
        "baseModel": model.base_model,
        "baseRevision": "main",
    }


def test_a_measure_that_came_out_as_no_number_is_left_out_or_null(api: Gateway) -> None:
    broken = {"tuned": {"loss": None, "exact_match": None, "tasks": {"helpfulness": {"score": None, "other": 1.0}}}}
    job = api.platform.complete(api.platform.launched(), evaluation=broken, metrics={"training_loss": None})
    shown = api.get(f"{MODELS}/{job.result_model}")
    assert shown.status == 200
    assert shown.json()["metrics"]["custom"] == {"helpfulness_other": 1.0}
    assert set(shown.json()["metrics"]["validation"].values()) == {None}
    assert api.get(MODELS).json()["models"][0]["metrics"] == dict.fromkeys(("finalLoss", "accuracy", "perplexity"))


def test_a_model_trained_from_another_names_its_parent(api: Gateway) -> None:
    parent = api.platform.models.of_job(api.platform.completed())
    assert parent is not None
    child = api.platform.completed(base_model=parent.name)
    shown = api.get(f"{MODELS}/{child.result_model}").json()
    assert shown["lineage"]["parentModel"] == parent.id


@pytest.mark.parametrize("target_modules", ["all-linear", ["q_proj"]])
def test_the_sizes_and_checksums_are_those_of_the_artifact(api: Gateway, target_modules: Any) -> None:
    files = {"adapter_model.safetensors": b"weights", "tokenizer.json": b"{}", "chat_template.jinja": b""}
    rows = [
        {"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    ]
    job = api.platform.complete(
        api.platform.launched(),
        files=rows,
        trainable_parameters=7,
        training={"strategy": "lora", "parameters": {"target_modules": target_modules}, "best_loss": 1},
    )
    shown = api.get(f"{MODELS}/{job.result_model}").json()
    assert (shown["size"]["bytes"], shown["size"]["trainable_parameters"]) == (9, 7)
    assert shown["training"]["parameters"]["target_modules"] == target_modules
    for file in shown["files"]:
        assert file["checksum"] == f"sha256:{hashlib.sha256(files[file['name']]).hexdigest()}"
    assert [file["type"] for file in shown["files"]] == ["model_weights", "tokenizer", "tokenizer"]


def test_update_model_metadata(api: Gateway) -> None:
    model = whole(api.platform)
    shown = api.send("PATCH", f"{MODELS}/{model.id}", page.UPDATE).json()
    assert_as_documented(page.DETAILS, shown)
    assert {key: shown[key] for key in page.UPDATE} == page.UPDATE
    assert api.get(f"{MODELS}/{page.UPDATE['name']}").json() == shown
    assert api.get(f"{MODELS}/{model.name}").json() == shown


def test_create_model_version(api: Gateway) -> None:
    first = api.platform.models.of_job(api.platform.completed())
    assert first is not None
    job = api.platform.completed()
    answer = api.post(f"{MODELS}/{first.id}/versions", page.VERSION | {"trainingJobId": job.id})
    assert answer.status == 201
    made = answer.json()
    assert [made[key] for key in ("version", "description", "changelog", "trainingJobId", "family")] == [
        "v1.1.0", page.VERSION["description"], page.VERSION["changelog"], job.id, first.id,
    ]  # fmt: skip
    listed = api.get(f"{MODELS}/{first.id}/versions").json()
    assert [row["version"] for row in listed["versions"]] == ["v1.0.0", "v1.1.0"]
    assert listed["pagination"] == {"total": 2, "limit": 50, "offset": 0, "hasMore": False}
    assert api.get(f"{MODELS}/{first.id}/versions/1.1.0").json() == made
    assert api.get(f"{MODELS}/{made['id']}").json() == made


def test_archive_and_restore_a_model(api: Gateway) -> None:
    model = api.platform.models.of_job(api.platform.completed())
    assert model is not None
    archived = api.post(f"{MODELS}/{model.id}/archive", page.ARCHIVE).json()
    assert archived["status"] == "archived"
    facts = {key: archived["archived"][key] for key in ("reason", "retentionPeriod", "keptBecause")}
    assert facts == {"reason": page.ARCHIVE["reason"], "retentionPeriod": "90d", "keptBecause": None}
    assert api.get(f"{MODELS}?status=archived").json()["models"][0]["id"] == model.id
    restored = api.post(f"{MODELS}/{model.id}/restore").json()
    assert (restored["status"], restored["archived"]) == ("ready", None)


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("GET", "", None), ("DELETE", "", None), ("PATCH", "", page.UPDATE), ("GET", "/versions", None),
        ("GET", "/versions/v1.0.0", None), ("POST", "/versions", page.VERSION), ("POST", "/archive", page.ARCHIVE),
        ("POST", "/restore", None),
    ],
)  # fmt: skip
def test_an_unknown_model_is_told_as_the_page_tells_it(api: Gateway, method: str, rest: str, body: Any) -> None:
    refused = api.send(method, f"{MODELS}/model_invalid_id{rest}", body)
    told = refused.json()
    assert refused.status == 404
    assert (told["error"], told["details"]) == (page.NOT_FOUND["error"], page.NOT_FOUND["details"])
    assert_as_documented(page.NOT_FOUND, json.loads(refused.text))
