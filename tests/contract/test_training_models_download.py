"""Downloading a model as the training_models page documents it, field for field."""

from typing import Any

from tests.contract.test_fine_tuning_page import assert_as_documented
from tests.factories import principal
from tests.functional.downloads.test_downloads import report
from tests.functional.processing import world
from tests.gateway import Gateway

A = principal("org_a")
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
