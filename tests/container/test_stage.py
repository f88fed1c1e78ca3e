import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.container.hub import COMMIT, LocalHub
from tests.container.programs import run
from trainer import files, hub, stage
from trainer.failures import Failure

MODEL = "luthier/tiny"
BUCKET = "base-models"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # The package reads it once, when it is imported, which in this process has long happened.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def source(tiny: Path, tmp_path: Path) -> Iterator[LocalHub]:
    folder = tmp_path / "hub"
    folder.mkdir()
    for path in tiny.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04pickle")
    (folder / "pytorch_model.bin.index.json").write_text("{}")
    (folder / "modeling_custom.py").write_text("raise SystemExit")
    (folder / "LICENSE").write_text("Apache-2.0")
    with LocalHub(folder, MODEL).serving() as local:
        yield local


def order(source: LocalHub, **changes: str) -> stage.Order:
    given = {"STAGE_MODEL_ID": MODEL, "STAGE_REVISION": "main", "STAGE_HUB_URL": source.url}
    return stage.Order.read({**given, "STAGE_DESTINATION": f"s3://{BUCKET}/tiny/main", **changes})


def stored(s3: Any) -> dict[str, bytes]:
    found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {item["Key"]: s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in found}


def test_a_model_is_copied_and_closed_with_a_manifest(s3: Any, source: LocalHub, tiny: Path, tmp_path: Path) -> None:
    stage.stage(order(source), tmp_path / "root")
    objects = stored(s3)
    manifest = json.loads(objects.pop("tiny/main/manifest.json"))
    assert (manifest["model"], manifest["revision"], manifest["commit"]) == (MODEL, "main", COMMIT)
    names = {path.name for path in tiny.iterdir()} | {"LICENSE"}
    assert {key.rpartition("/")[2] for key in objects} == {file["path"] for file in manifest["files"]} == names
    weights = next(file for file in manifest["files"] if file["path"] == "model.safetensors")
    assert weights["sha256"] == files.sha256(tiny / "model.safetensors")
    assert objects["tiny/main/model.safetensors"] == (tiny / "model.safetensors").read_bytes()
    assert not list((tmp_path / "root").iterdir())


def test_neither_pickles_nor_code_are_fetched(s3: Any, source: LocalHub, tmp_path: Path) -> None:
    stage.stage(order(source), tmp_path)
    assert not [name for name in source.downloads if ".bin" in name or name.endswith(".py")]


def test_staging_again_does_nothing(s3: Any, source: LocalHub, tmp_path: Path) -> None:
    stage.stage(order(source), tmp_path)
    before, source.downloads[:] = stored(s3), []
    stage.stage(order(source), tmp_path)
    assert source.downloads == []
    assert stored(s3) == before


def test_an_interrupted_copy_continues_with_the_missing_files(s3: Any, source: LocalHub, tmp_path: Path) -> None:
    stage.stage(order(source), tmp_path)
    complete, source.downloads[:] = json.loads(stored(s3)["tiny/main/manifest.json"]), []
    for name in ("manifest.json", "config.json"):
        s3.delete_object(Bucket=BUCKET, Key=f"tiny/main/{name}")
    stage.stage(order(source), tmp_path)
    assert source.downloads == ["config.json"]
    assert json.loads(stored(s3)["tiny/main/manifest.json"])["files"] == complete["files"]


def test_a_gated_model_needs_a_token_that_may_read_it(s3: Any, source: LocalHub, tmp_path: Path) -> None:
    source.gate = "hf_right"
    secrets = boto3.client("secretsmanager")
    secrets.create_secret(Name="hub-token", SecretString="hf_wrong")
    for secret in ("", "hub-token"):
        with pytest.raises(Failure) as caught:
            stage.stage(order(source, STAGE_HUB_TOKEN_SECRET=secret), tmp_path)
        assert caught.value.code == "gated_model"
        assert "hf_wrong" not in str(caught.value)
    secrets.put_secret_value(SecretId="hub-token", SecretString="hf_right\n")
    stage.stage(order(source, STAGE_HUB_TOKEN_SECRET="hub-token"), tmp_path)
    assert "tiny/main/manifest.json" in stored(s3)


def test_a_model_published_only_as_pickle_is_refused(s3: Any, source: LocalHub, tmp_path: Path) -> None:
    (source.folder / "model.safetensors").unlink()
    with pytest.raises(Failure, match=r"only as: .*\.bin") as caught:
        stage.stage(order(source), tmp_path)
    assert caught.value.code == "no_safetensors"
    assert stored(s3) == {}


def test_an_unknown_model_is_named(s3: Any, source: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="luthier/nothing") as caught:
        stage.stage(order(source, STAGE_MODEL_ID="luthier/nothing"), tmp_path)
    assert caught.value.code == "model_not_found"


def test_a_hub_that_is_down_is_a_network_failure(s3: Any, source: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        stage.stage(order(source, STAGE_HUB_URL="http://127.0.0.1:9"), tmp_path)
    assert caught.value.code == "network"


def test_a_secret_that_cannot_be_read_is_named(s3: Any, source: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="secret nowhere") as caught:
        stage.stage(order(source, STAGE_HUB_TOKEN_SECRET="nowhere"), tmp_path)
    assert caught.value.code == "bad_config"


def test_a_second_copy_of_the_weights_in_another_layout_is_left_out() -> None:
    names = ["model-00001-of-00001.safetensors", "model.safetensors.index.json", "consolidated.safetensors"]
    wanted = hub._wanted("m", [hub.File(name, 1, None) for name in [*names, "onnx/model.json"]])
    assert {file.path for file in wanted} == set(names[:2])


def test_the_program_says_which_variable_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("trainer.stage", "--root", tmp_path).exit_code == 1
    said = json.loads((tmp_path / "output" / "failure").read_text())
    assert said["code"] == "bad_config"
    assert "STAGE_MODEL_ID" in said["message"]
