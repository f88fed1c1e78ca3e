"""Downloading a model as the training_models page documents it, field for field."""

from itertools import pairwise
from typing import Any

import pytest

from tests.contract.test_fine_tuning_page import assert_as_documented
from tests.contract.test_openapi import DOCUMENT
from tests.factories import principal
from tests.functional.downloads.test_downloads import report
from tests.functional.processing import world
from tests.gateway import Gateway

A = principal("org_a")
ASK, FETCH = "/v2/training/models/{model_id}/download", "/v2/training/downloads/{token}"
OTHERS = {"default"}
REQUEST = {
    "files": ["pytorch_model.bin", "config.json", "tokenizer.json"],
    "format": "pytorch",
    "compression": "zip",
}
JAVASCRIPT_REQUEST = {"files": ["pytorch_model.bin", "config.json"], "format": "pytorch", "compression": "zip"}
ANSWER: dict[str, Any] = {
    "downloadUrl": "https://download.tensorone.ai/models/model_1234567890abcdef.zip",
    "downloadToken": "tok_download_1234567890abcdef",
    "expiresAt": "2024-01-15T19:00:00Z",
    "size": 6710886400,
    "files": [
        {"name": "pytorch_model.bin", "size": 13421772800, "checksum": "sha256:a1b2c3d4e5f6..."},
        {"name": "config.json", "size": 1024, "checksum": "sha256:b2c3d4e5f6a7..."},
        {"name": "tokenizer.json", "size": 2048, "checksum": "sha256:c3d4e5f6a7b8..."},
    ],
}
# Under "Model Formats".
FORMATS = {
    "pytorch": ["pytorch_model.bin", "config.json", "tokenizer.json"],
    "huggingface": ["model.safetensors", "pytorch_model.bin", "config.json", "tokenizer_config.json"],
    "onnx": ["model.onnx", "config.json", "tokenizer.json"],
    "tensorrt": ["model.trt", "config.json", "profiling_data.json"],
}


def test_the_page_example(api: Gateway) -> None:
    model = world.model(api.platform, A)
    for request in (REQUEST, JAVASCRIPT_REQUEST):
        path = f"/v2/training/models/{model.id}/download"
        began = api.post(path, request)
        assert began.status == 202
        # While it is made, every documented key is there.
        assert list(began.json())[: len(ANSWER)] == list(ANSWER)
        processing = api.platform.processings.get("org_a", began.json()["processingId"])
        world.finish(api.platform, processing, report("pytorch", "zip", *request["files"]))
        answer = api.post(path, request)
        assert answer.status == 200
        assert_as_documented(ANSWER, answer.json())
        assert [file["name"] for file in answer.json()["files"]] == request["files"]
        assert answer.json()["downloadToken"].startswith("tok_download_")
        assert all(file["checksum"].startswith("sha256:") for file in answer.json()["files"])


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_has_the_files_that_the_page_lists_and_no_others(api: Gateway, form: str) -> None:
    model = world.model(api.platform, A)
    path = f"/v2/training/models/{model.id}/download"
    made = api.platform.processings.get("org_a", api.post(path, {"format": form}).json()["processingId"])
    packed = world.plan(api.platform, made)["arguments"]
    asked = [value for option, value in pairwise(packed) if option == "--file"]
    assert sorted(asked) == sorted(FORMATS[form])
    world.finish(api.platform, made, report(form, "none", *asked))
    answer = api.post(path, {"format": form})
    assert answer.status == 200
    assert sorted(file["name"] for file in answer.json()["files"]) == sorted(FORMATS[form])
    assert all(file["url"] for file in answer.json()["files"])


def test_every_answer_of_a_download_is_described(api: Gateway) -> None:
    model = world.model(api.platform, A)
    described = {path: DOCUMENT["paths"][path] for path in (ASK, FETCH)}
    ready = api.post(ASK.format(model_id=model.id), {})
    made = api.post(ASK.format(model_id=model.id), {"compression": "zip"})
    names = ("adapter_config.json", "adapter_model.safetensors")
    processing = api.platform.processings.get("org_a", made.json()["processingId"])
    world.finish(api.platform, processing, report("adapter", "zip", *names))
    packed = api.post(ASK.format(model_id=model.id), {"compression": "zip"})
    assert {str(answer.status) for answer in (ready, made, packed)} == set(described[ASK]["post"]["responses"]) - OTHERS
    tokens = [answer.json()["downloadToken"] for answer in (ready, packed)]
    led = {str(api.stranger().get(FETCH.format(token=token)).status) for token in tokens}
    assert led == set(described[FETCH]["get"]["responses"]) - OTHERS
