"""Downloading a trained model from the running cloud: what is there, what a job converts, and an archive of it."""

import hashlib
import io
import json
import zipfile
from typing import Any

import httpx

from tests.journey.customer import SHORT, Customer
from tests.journey.local_cloud import LocalCloud, wait_for

MODELS = "/v2/training/models"


def downloaded(customer: Customer, model: str, **wish: Any) -> dict[str, Any]:
    """The answer of a download once there is something to fetch."""

    def look() -> dict[str, Any] | None:
        answer = customer.call("POST", f"{MODELS}/{model}/download", json=wish)
        return answer if answer["status"] == "ready" else None

    return dict(wait_for(look, 180, f"{wish} of {model}"))


def fetched(url: str, checksum: str) -> bytes:
    answer = httpx.get(url)
    assert answer.status_code == 200, answer.text
    assert checksum == f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    return answer.content


def tensors_in(safetensors: bytes) -> dict[str, Any]:
    """The header of a safetensors file: its length in eight bytes, then JSON."""
    return dict(json.loads(safetensors[8 : 8 + int.from_bytes(safetensors[:8], "little")]))


def test_a_model_is_downloaded_as_it_is_converted_and_packed(
    cloud: LocalCloud, completed: dict[str, Any], customer: Customer
) -> None:
    model = completed["resultModel"]
    adapter = customer.call("POST", f"{MODELS}/{model}/download", json={})
    assert (adapter["status"], adapter["format"]) == ("ready", "adapter")
    files = {file["name"]: fetched(file["url"], file["checksum"]) for file in adapter["files"]}
    assert json.loads(files["adapter_config.json"])["peft_type"] == "LORA"

    for form in ("adapter", "pytorch"):
        packed = downloaded(customer, model, format=form, compression="zip")
        with zipfile.ZipFile(io.BytesIO(fetched(packed["downloadUrl"], packed["checksum"]))) as archive:
            assert archive.namelist() == [file["name"] for file in packed["files"]]
            for file in packed["files"]:
                assert file["checksum"] == f"sha256:{hashlib.sha256(archive.read(file['name'])).hexdigest()}"
                assert archive.getinfo(file["name"]).file_size == file["size"]
                # The adapter is packed as it is.
                assert form != "adapter" or archive.read(file["name"]) == files[file["name"]]

    # The token works without a key, and leads to the same object.
    with httpx.Client(base_url=cloud.environment["LUTHIER_BASE_URL"]) as stranger:
        led = stranger.get(f"/v2/training/downloads/{packed['downloadToken']}")
        assert led.status_code == 302
        assert fetched(led.headers["location"], packed["checksum"])
        assert stranger.get("/v2/training/downloads/tok_download_x").status_code == 404


def test_a_conversion_is_fetched_file_by_file_and_then_answers_at_once(
    cloud: LocalCloud, completed: dict[str, Any], customer: Customer
) -> None:
    model = completed["resultModel"]
    converted = downloaded(customer, model, format="huggingface")
    with httpx.Client(base_url=cloud.environment["LUTHIER_BASE_URL"]) as stranger:
        listed = stranger.get(f"/v2/training/downloads/{converted['downloadToken']}").json()["files"]
    assert [file["name"] for file in listed] == [file["name"] for file in converted["files"]]
    files = {file["name"]: fetched(file["url"], file["checksum"]) for file in listed}
    assert set(files) == {"model.safetensors", "pytorch_model.bin", "config.json", "tokenizer_config.json"}
    assert sum(map(len, files.values())) == converted["size"]
    tensors = tensors_in(files["model.safetensors"])
    assert "model.embed_tokens.weight" in tensors
    assert not [name for name in tensors if "lora" in name]
    some = customer.call("POST", f"{MODELS}/{model}/download", json={"format": "huggingface", "files": ["config.json"]})
    assert (some["status"], some["processingId"]) == ("ready", None)
    [config] = some["files"]
    assert fetched(config["url"], config["checksum"]) == files["config.json"]


def test_what_was_exported_with_the_training_answers_at_once(completed: dict[str, Any], customer: Customer) -> None:
    job_id = customer.create_job(SHORT, suffix="exported", exports=["pytorch"])
    model = customer.wait_for_status(job_id, "completed")["resultModel"]
    ready = customer.call("POST", f"{MODELS}/{model}/download", json={"format": "pytorch"})
    assert (ready["status"], ready["processingId"]) == ("ready", None)
    assert {file["name"] for file in ready["files"]} == {"pytorch_model.bin", "config.json", "tokenizer.json"}
    for file in ready["files"]:
        assert len(fetched(file["url"], file["checksum"])) == file["size"]


def test_a_conversion_that_this_machine_cannot_make_says_why(
    cloud: LocalCloud, completed: dict[str, Any], api: httpx.Client
) -> None:
    def look() -> httpx.Response | None:
        answer = api.post(f"{MODELS}/{completed['resultModel']}/download", json={"format": "tensorrt"})
        return answer if answer.status_code != 202 else None

    refused = wait_for(look, 120, "the refusal")
    assert (refused.status_code, refused.json()["error"]) == (422, "PACKAGING_FAILED")
    assert refused.json()["details"]["reason"]["code"] == "export_unsupported"
