"""`luthier models` and `luthier deployments` against the real functions."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import Unprocessable
from tests.clients import no_pauses
from tests.factories import BASE_MODEL, principal
from tests.functional.cli.terminal import Terminal
from tests.functional.downloads.test_downloads import FILES, report
from tests.functional.imports import world as imports
from tests.functional.processing import world

A = principal()
MODELS, DEPLOYMENTS = "/v2/training/models", "/v2/training/deployments"
CONTENT = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}


@pytest.fixture
def model(terminal: Terminal) -> Any:
    """A model whose files have content."""
    files = [
        {"path": name, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()} for name, body in CONTENT.items()
    ]
    made = world.model(terminal.platform, A, files=files)
    for name, body in CONTENT.items():
        terminal.platform.put_artifact(f"org_a/jobs/{made.job_id}/m/{name}", body.decode())
    return made


def test_models_and_base_models_are_listed(terminal: Terminal, model: Any) -> None:
    assert terminal.json("models", "list") == terminal.api.get(MODELS).json()["models"]
    assert model.name in terminal.shown("models", "list", "--base-model", BASE_MODEL)
    assert "There are none." in terminal.shown("models", "list", "--status", "archived")
    base = terminal.json("models", "list", "--base")
    assert base == terminal.api.get("/api/v1/fine-tuning/base-models").json()["models"]
    assert BASE_MODEL in terminal.shown("models", "list", "--base")


def test_a_model_is_shown_with_its_files_and_versions(terminal: Terminal, model: Any) -> None:
    assert terminal.json("models", "get", model.name) == terminal.api.get(f"{MODELS}/{model.id}").json()
    shown = terminal.shown("models", "get", model.name)
    assert "adapter_model.safetensors" in shown
    assert model.id in shown
    assert [one["id"] for one in terminal.json("models", "versions", model.name)] == [model.id]
    assert "1.0.0" in terminal.shown("models", "versions", model.name)
    assert "model_not_found" in terminal.refused(3, "models", "get", "model_none")


def test_a_download_is_whole_or_not_there(
    terminal: Terminal, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tickets"
    told = terminal.json("models", "download", model.name, "--output", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT
    assert told["status"] == "ready"
    fetched = len(terminal.network.requests)
    assert "2 files, 9 bytes" in terminal.shown("models", "download", model.name, "--output", folder)
    assert len(terminal.network.requests) == fetched + 1
    (folder / "adapter_config.json").write_text("mine")
    assert "is another file" in terminal.refused(2, "models", "download", model.name, "--output", folder)
    assert (folder / "adapter_config.json").read_text() == "mine"
    terminal.platform.put_artifact(f"org_a/jobs/{model.job_id}/m/adapter_model.safetensors", "changed")
    monkeypatch.chdir(tmp_path)
    assert "arrived damaged" in terminal.refused(1, "models", "download", model.name)
    assert [path.name for path in (tmp_path / model.name).iterdir()] == ["adapter_config.json"]


def test_a_format_that_has_to_be_made_is_waited_for(
    terminal: Terminal, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = {"format": "pytorch", "compression": "zip"}

    def make(_: float) -> None:
        answer = terminal.api.post(f"{MODELS}/{model.id}/download", wish).json()
        made = terminal.platform.processings.get("org_a", answer["processingId"])
        world.finish(terminal.platform, made, report("pytorch", "zip", *FILES["pytorch"]))

    no_pauses(monkeypatch, make)
    words = ("--format", "pytorch", "--compression", "zip", "--output", tmp_path)
    terminal.shown("models", "download", model.name, *words)
    assert (tmp_path / "model.zip").read_bytes() == b"a" * 70


def test_models_are_compared_archived_and_restored(terminal: Terminal, model: Any) -> None:
    other = world.model(terminal.platform, A)
    answer = terminal.api.post(f"{MODELS}/compare", {"models": [model.id, other.id]}).json()["comparison"]
    assert terminal.json("models", "compare", model.id, other.id) == answer
    assert "best: " in terminal.shown("models", "compare", model.name, other.name, "--metric", "accuracy")
    terminal.refused(3, "models", "compare", model.id, "model_none")
    archived = terminal.json("models", "archive", model.name, "--reason", "old", "--retention-period", "90d")
    assert (archived["status"], archived["archived"]["reason"]) == ("archived", "old")
    assert "is ready" in terminal.shown("models", "restore", model.id)
    assert "retention_period" in terminal.refused(2, "models", "archive", other.id, "--retention-period", "x")


def test_a_folder_of_elsewhere_becomes_a_model(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in {**imports.ADAPTER, "notes.docx": b"mine", "optimizer.pt": b"pickle"}.items():
        (tmp_path / name).write_bytes(content)
    words = ("models", "import", tmp_path, "--name", "from-elsewhere", "--base-model", BASE_MODEL)

    def adopt(_: float) -> None:
        (key,) = {key.split("/")[-2] for key in imports.uploads_of(terminal.platform)}
        imports.adopted(terminal.api, key)

    no_pauses(monkeypatch, adopt)
    done = terminal.json(*words, "--wait")
    assert (done["status"], done["name"]) == ("completed", "from-elsewhere")
    assert [file["name"] for file in done["source"]["files"]] == sorted(imports.ADAPTER)
    assert terminal.json("models", "get", "from-elsewhere")["id"] == done["modelId"]
    assert "name" in terminal.refused(2, *words)
    (tmp_path / "empty").mkdir()
    assert "holds no model" in terminal.refused(2, "models", "import", tmp_path / "empty", "--name", "x")
    assert "bucket_not_listed" in terminal.refused(
        2, "models", "import", "s3://theirs/m", "--name", "x", "--base-model", BASE_MODEL
    )


def test_a_model_is_deployed_waited_for_and_changed(
    terminal: Terminal, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = terminal.platform

    def run(_: float) -> None:
        (row,) = terminal.api.get(DEPLOYMENTS).json()["deployments"]
        platform.run_deployment(platform.deployments.get(A, row["id"]))

    no_pauses(monkeypatch, run)
    deployed = terminal.json("models", "deploy", model.name, "--environment", "staging", "--wait")
    assert (deployed["status"], deployed["environment"]) == ("active", "staging")
    name = deployed["id"]
    assert terminal.json("deployments", "get", name) == terminal.api.get(f"{DEPLOYMENTS}/{name}").json()
    assert name in terminal.shown("deployments", "list", "--status", "active")
    assert terminal.json("deployments", "list") == terminal.api.get(DEPLOYMENTS).json()["deployments"]
    changed = terminal.json("deployments", "update", name, "--max-tokens", 7, "--wait")
    assert (changed["configuration"]["maxTokens"], changed["updating"]) == (7, False)
    assert "is pausing" in terminal.shown("deployments", "pause", name)
    platform.run_deployment(platform.deployments.get(A, name))
    assert "paused" in terminal.shown("deployments", "get", name)
    assert terminal.json("deployments", "resume", name, "--wait")["status"] == "active"
    assert "is deleting" in terminal.shown("deployments", "delete", name)
    assert "not_found" in terminal.refused(3, "deployments", "get", "ep_none")


def test_a_deployment_that_fails_ends_the_command_with_7(
    terminal: Terminal, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = terminal.platform
    platform.probe.failing = Unprocessable("It answers nonsense.", code="model_failed")

    def run(_: float) -> None:
        (row,) = terminal.api.get(DEPLOYMENTS).json()["deployments"]
        platform.run_deployment(platform.deployments.get(A, row["id"]))

    no_pauses(monkeypatch, run)
    assert "It answers nonsense." in terminal.refused(7, "models", "deploy", model.name, "--wait")


def test_a_model_is_fetched_to_be_served_as_the_platform_makes_it(
    terminal: Terminal, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "training_container"))
    spec = {"metadata": {"behavior_spec": '{"system_prompt": "You sort tickets."}'}}
    assert terminal.api.send("PATCH", f"{MODELS}/{model.id}", spec).status == 200

    def make(_: float) -> None:
        for form in ("huggingface", "pytorch"):
            for made in terminal.platform.processings.of_subject("org_a", "package", model.id):
                if made.status not in ("completed", "failed") and made.spec["format"] == form:
                    world.finish(terminal.platform, made, report(form, "none", *FILES[form]))

    no_pauses(monkeypatch, make)
    said = terminal.shown("models", "serve", model.name, "--print-command")
    (folder,) = (tmp_path / "models").iterdir()
    assert f"--model {folder}" in said
    assert f"--spec {folder / 'tunedtensor.json'}" in said
    assert (folder / "model.safetensors").read_text() == "model.safetensors".ljust(100)
