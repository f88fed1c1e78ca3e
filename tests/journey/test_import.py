"""Models that were trained elsewhere, on the running cloud: taken over and trained on, or refused with a reason."""

import json
from typing import Any

import httpx
import pytest

from infra.local.deploy import DATASETS_BUCKET
from tests.journey.customer import SHORT, Customer
from tests.journey.local_cloud import MODEL, LocalCloud, wait_for

MODELS = "/v2/training/models"
_CHECK_SECONDS = 180.0
_OF_AN_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")


@pytest.fixture(scope="module")
def adapter(cloud: LocalCloud, completed: dict[str, Any]) -> dict[str, bytes]:
    """The adapter that a training has left."""
    bucket, found = cloud.environment["LUTHIER_ARTIFACTS_BUCKET"], {}
    for key in keys(cloud, bucket, ""):
        folder, _, name = key.rpartition("/")
        if name in _OF_AN_ADAPTER and f"/{completed['id']}/output/" in key and folder.endswith("/model"):
            found[name] = cloud.aws("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert sorted(found) == sorted(_OF_AN_ADAPTER)
    return found


def keys(cloud: LocalCloud, bucket: str, prefix: str) -> list[str]:
    pages = cloud.aws("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def put_theirs(cloud: LocalCloud, prefix: str, files: dict[str, bytes]) -> dict[str, str]:
    """The source of a model in the bucket that the operator has opened."""
    s3 = cloud.aws("s3")
    s3.create_bucket(Bucket=DATASETS_BUCKET)
    for name, content in files.items():
        s3.put_object(Bucket=DATASETS_BUCKET, Key=f"{prefix}/{name}", Body=content)
    return {"type": "s3", "uri": f"s3://{DATASETS_BUCKET}/{prefix}"}


def begin(customer: Customer, name: str, source: dict[str, Any]) -> dict[str, Any]:
    return customer.call("POST", f"{MODELS}/import", json={"name": name, "baseModel": MODEL, "source": source})


def ended(customer: Customer, import_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        shown = customer.call("GET", f"{MODELS}/import/{import_id}")
        return shown if shown["status"] in ("completed", "failed") else None

    return dict(wait_for(look, _CHECK_SECONDS, f"the check of {import_id}"))


def proven(customer: Customer, deployment_id: str) -> dict[str, Any] | None:
    """The deployment once it is active; fails at once when it cannot be."""
    found = customer.call("GET", f"/v2/training/deployments/{deployment_id}")
    assert found["status"] != "failed", found
    return found if found["status"] == "active" else None


def test_an_uploaded_adapter_becomes_a_model_that_training_goes_on_from(
    cloud: LocalCloud, customer: Customer, api: httpx.Client, adapter: dict[str, bytes]
) -> None:
    files = [{"name": name, "size": len(content)} for name, content in adapter.items()]
    begun = begin(customer, "from-elsewhere", {"type": "upload", "files": files})
    place = f"{MODELS}/import/{begun['id']}"
    assert api.post(f"{place}/complete").json()["details"]["missing"] == list(adapter)
    for upload in begun["uploads"]:
        answer = httpx.put(upload["url"], content=adapter[upload["name"]], headers=upload["headers"])
        assert answer.status_code == 200, answer.text
    assert customer.call("POST", f"{place}/complete")["status"] == "checking"

    done = ended(customer, begun["id"])
    assert (done["status"], done["error"]) == ("completed", None)
    model = customer.call("GET", f"{MODELS}/from-elsewhere")
    assert (model["id"], model["status"]) == (done["modelId"], "ready")
    assert {"adapter_model.safetensors", "proof.json", "serving/adapter.tar.gz"} <= {f["name"] for f in model["files"]}

    deployment = customer.call("POST", f"{MODELS}/from-elsewhere/deploy")["deployment"]
    active = wait_for(lambda: proven(customer, deployment["id"]), 90, "the deployment of the imported model")
    assert active["proof"]["verdict"] == "proven"
    customer.call("DELETE", f"/v2/training/deployments/{deployment['id']}")

    job = customer.wait_for_status(customer.create_job(SHORT, baseModel="from-elsewhere"), "completed")
    assert job["startFrom"] == "from-elsewhere"
    assert customer.call("GET", f"{MODELS}/{job['resultModel']}")["lineage"]["parentModel"] == model["id"]


def test_a_broken_adapter_is_refused_with_its_reason_and_makes_no_model(
    cloud: LocalCloud, customer: Customer, api: httpx.Client, adapter: dict[str, bytes]
) -> None:
    half = adapter["adapter_model.safetensors"][: len(adapter["adapter_model.safetensors"]) // 2]
    source = put_theirs(cloud, "models/broken", adapter | {"adapter_model.safetensors": half})
    begun = begin(customer, "broken", source)
    assert (begun["status"], begun["uploads"]) == ("checking", [])

    failed = ended(customer, begun["id"])
    assert (failed["status"], failed["error"]["code"], failed["modelId"]) == ("failed", "bad_adapter", None)
    assert "cannot be read" in failed["error"]["message"]
    assert api.get(f"{MODELS}/broken").status_code == 404


def test_merged_weights_in_a_bucket_of_somebody_else_become_a_model(cloud: LocalCloud, customer: Customer) -> None:
    bucket = cloud.environment["LUTHIER_BASE_MODELS_BUCKET"]
    merged = {
        key.rpartition("/")[2]: cloud.aws("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        for key in keys(cloud, bucket, f"{MODEL}/")
    }
    del merged["manifest.json"]
    begun = begin(customer, "merged-elsewhere", put_theirs(cloud, "models/merged", merged))

    done = ended(customer, begun["id"])
    assert (done["status"], done["error"]) == ("completed", None)
    model = customer.call("GET", f"{MODELS}/{done['modelId']}")
    assert model["training"]["strategy"] == "full"
    assert "model.safetensors" in json.dumps(model["files"])
