"""A base model that nobody has staged yet is copied from the hub, by a SageMaker job under the staging role."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.container.hub import LocalHub
from tests.journey.customer import SHORT, Customer
from tests.journey.local_cloud import MODEL, LocalCloud


def test_the_first_job_stages_its_model_for_everyone(
    completed: dict[str, Any], hub: LocalHub, cloud: LocalCloud
) -> None:
    bucket = cloud.environment["LUTHIER_BASE_MODELS_BUCKET"]
    body = cloud.aws("s3").get_object(Bucket=bucket, Key=f"{MODEL}/main/manifest.json")["Body"]
    files = json.loads(body.read())["files"]

    assert completed["status"] == "completed"
    assert {Path(file["path"]).suffix for file in files} <= {".safetensors", ".json", ".jinja"}
    assert sorted(hub.downloads) == sorted(file["path"] for file in files)


def test_a_gated_model_fails_the_job_and_says_why(
    customer: Customer, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "model", "HuggingFaceTB/SmolLM2-135M-Instruct")
    monkeypatch.setattr(hub, "gate", "a token that nobody has")

    job = customer.wait_for_end(customer.create_job(SHORT, baseModel="smollm2-135m-instruct"))

    assert job["status"] == "failed"
    assert job["statusReason"]["code"] == "gated_model"
