"""Which model `luthier models serve` serves and how: what is on the machine, and what it fetches from a platform."""

import hashlib
import io
import json
import shlex
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from luthier.cli import app, runtime
from luthier.client.api.training_models import DownloadAnswer, ModelDetails
from luthier.client.names import camel
from tests.clients import no_pauses

WEIGHTS = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer_config.json": b"{}"}
# What the client expects of a model and of a download.
MODEL: dict[str, Any] = dict.fromkeys(map(camel, ModelDetails.model_fields)) | {
    **dict.fromkeys(("name", "type", "status", "baseModel", "createdAt", "updatedAt", "framework", "modelType"), "x"),
    **{name: [] for name in ("files", "deployments", "tags", "names", "changelog")},
    **{"id": "model_1", "modelId": "model_1", "architecture": {}, "training": {"parameters": {}}},
    **{"size": dict.fromkeys(("parameters", "trainable_parameters", "bytes", "compressed"))},
    **{"metrics": {"training": {}, "validation": {}, "custom": {}}, "lineage": {"jobId": None, "baseModel": "x"}},
}
DOWNLOAD: dict[str, Any] = dict.fromkeys(map(camel, DownloadAnswer.model_fields)) | {
    **{"files": [], "format": "huggingface", "compression": "none"}
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own with a runtime that is ready; nothing of the platform is set."""
    for name in ("LUTHIER_BASE_URL", "LUTHIER_API_KEY", "LUTHIER_RUNTIME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "training_container"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    python = tmp_path / "home" / "runtime" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (tmp_path / "home" / "runtime" / runtime.STAMP).write_text(runtime.stamp())
    return tmp_path / "home"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return written(tmp_path / "tickets", WEIGHTS)


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def serve(*words: object) -> Result:
    return CliRunner().invoke(app, ["models", "serve", *map(str, words)])


def command(*words: object) -> dict[str, str]:
    """The options that the server would get, by their name."""
    printed = serve(*words, "--print-command")
    assert printed.exit_code == 0, printed.output
    _, _, module, *options = shlex.split(printed.stdout)
    assert module == "trainer.serve_local"
    return dict(zip(options[::2], options[1::2], strict=True))


def refused(*words: object, status: int = 2) -> str:
    answer = serve(*words)
    assert answer.exit_code == status, answer.output
    return answer.output


def test_a_folder_is_served_with_the_defaults(model: Path, home: Path) -> None:
    assert command(model) == {
        "--model": str(model),
        "--name": "tickets",
        "--host": "127.0.0.1",
        "--port": "8000",
        "--device": "auto",
        "--max-tokens": "512",
        "--temperature": "0.7",
        "--json-repair-attempts": "1",
        "--idle-timeout": "300",
    }


def test_the_spec_of_this_folder_is_used_before_that_of_the_model_and_one_can_be_named_or_left_out(
    model: Path, tmp_path: Path
) -> None:
    spec = json.dumps({"system_prompt": "You sort tickets."})
    assert "--spec" not in command(model)
    (model / "tunedtensor.json").write_text(spec)
    assert command(model)["--spec"] == str(model / "tunedtensor.json")
    (tmp_path / "here" / "tunedtensor.json").write_text(spec)
    assert command(model)["--spec"] == str(tmp_path / "here" / "tunedtensor.json")
    other = tmp_path / "other.json"
    other.write_text(spec)
    assert command(model, "--spec", other)["--spec"] == str(other)
    assert "--spec" not in command(model, "--no-spec-prompt")
    other.write_text("{}")
    assert "--spec" not in command(model, "--spec", other)


def test_a_spec_that_is_none_is_refused_with_what_it_has_to_be(model: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    assert "There is no behaviour spec" in refused(model, "--spec", spec)
    spec.write_text(json.dumps({"guidelines": "Be brief."}))
    assert "guidelines must be a list of strings" in refused(model, "--spec", spec)


def test_an_adapter_is_served_on_its_base(model: Path, tmp_path: Path) -> None:
    settings = {"peft_type": "LORA", "base_model_name_or_path": "acme/base"}
    files = {"adapter_config.json": json.dumps(settings).encode(), "adapter_model.safetensors": b"a"}
    adapter = written(tmp_path / "adapter", files)
    said = refused(adapter)
    assert "adapter of acme/base" in said
    assert "--base" in said
    given = command(adapter, "--base", model)
    assert (given["--model"], given["--base"]) == (str(adapter), str(model))
    (adapter / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": str(model)}))
    assert command(adapter)["--base"] == str(model)
    assert "no adapter" in refused(model, "--base", model)
    with tarfile.open(tmp_path / "base.tar.gz", "w:gz") as packed:
        packed.add(model, "base")
    assert Path(command(adapter, "--base", tmp_path / "base.tar.gz")["--base"], "config.json").exists()


def test_an_archive_is_unpacked_once(tmp_path: Path, home: Path, model: Path) -> None:
    archive = tmp_path / "tickets.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(model, "tickets")
    given = command(archive)
    assert given["--name"] == "tickets"
    assert (Path(given["--model"]) / "model.safetensors").read_bytes() == b"weights"
    assert command(archive) == given
    assert len(list((home / "models").iterdir())) == 1


def test_an_archive_that_is_broken_or_reaches_outside_leaves_nothing(tmp_path: Path) -> None:
    broken, reaching = tmp_path / "broken.tar.gz", tmp_path / "reaching.tar.gz"
    broken.write_bytes(b"not gzip")
    with tarfile.open(reaching, "w:gz") as packed:
        member = tarfile.TarInfo("../../outside")
        member.size = 1
        packed.addfile(member, io.BytesIO(b"x"))
    for archive in (broken, reaching):
        assert "cannot be unpacked" in refused(archive)
    assert not list(tmp_path.rglob("outside"))
    assert not list((tmp_path / "home" / "models").iterdir())


@pytest.mark.parametrize(("target", "status"), [("./nothing", 2), ("nothing.tar.gz", 2), ("nothing", 4)])
def test_a_model_that_is_nowhere_is_refused_with_what_to_do(target: str, status: int) -> None:
    said = refused(target, status=status)
    assert "There is no" in said
    assert "Name a folder" in said or "LUTHIER_BASE_URL" in said


def test_a_folder_without_a_model_a_schema_that_is_none_and_a_bad_option_are_refused(tmp_path: Path) -> None:
    assert "holds no model" in refused(tmp_path)
    schema = tmp_path / "schema.json"
    schema.write_text("[]")
    assert "must be an object" in refused(tmp_path, "--json-schema", schema)
    assert "cannot be read" in refused(tmp_path, "--json-schema", tmp_path / "none")
    assert "--temperature" in refused(tmp_path, "--temperature", 3)


def test_a_gate_is_a_boolean_field_of_the_schema(model: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"properties": {"should_process": {"type": "boolean"}, "text": {"type": "string"}}}))
    given = command(model, "--json-schema", schema, "--gate-field", "should_process")
    assert given["--gate-field"] == "should_process"
    for name in ("text", "other"):
        assert "no boolean field" in refused(model, "--json-schema", schema, "--gate-field", name)
    assert "--json-schema" in refused(model, "--gate-field", "should_process")


def test_a_log_that_cannot_be_written_is_refused_before_anything_starts(model: Path, tmp_path: Path) -> None:
    assert "No such file or directory" in refused(model, "--log-file", tmp_path / "none" / "server.log")


def test_without_a_runtime_of_this_version_nothing_is_served(model: Path, home: Path) -> None:
    (home / "runtime" / runtime.STAMP).write_text("an older one")
    assert "luthier models setup-runtime" in refused(model, status=3)
    (home / "runtime" / runtime.STAMP).unlink()
    assert "luthier models setup-runtime" in refused(model, status=3)


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "--port" in refused(model, "--port", port, status=8)


def test_a_runtime_that_is_there_is_not_made_again(home: Path) -> None:
    answer = CliRunner().invoke(app, ["models", "setup-runtime"])
    assert answer.exit_code == 0
    assert f"there already, for this version: {home / 'runtime'}" in answer.output


def test_a_runtime_whose_packages_cannot_be_installed_is_not_called_ready(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "runtime" / runtime.STAMP).unlink()
    (home / "runtime" / "bin" / "python").unlink()
    (home / "runtime" / "bin" / "python").write_text("#!/bin/sh\nexit 7\n")
    (home / "runtime" / "bin" / "python").chmod(0o755)
    answer = CliRunner().invoke(app, ["models", "setup-runtime"])
    assert answer.exit_code == 1
    assert "ended with status 7" in answer.output
    assert not (home / "runtime" / runtime.STAMP).exists()


def test_the_command_line_needs_neither_the_aws_sdk_nor_an_http_client_to_start() -> None:
    check = "import sys, luthier.cli; assert not {'boto3', 'botocore', 'httpx', 'torch'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


# --- models of a platform ------------------------------------------------------------------------------------------


class FakePlatform(ThreadingHTTPServer):
    """Answers a model's details and its downloads as the training_models surface does, and its links as S3 does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files = {**WEIGHTS, "tokenizer.json": b"tokens"}
        self.metadata: dict[str, str] = {}
        self.preparing = 1
        self.asked: list[str] = []
        self.damaged: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: FakePlatform

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        name = self.path.rpartition("/")[2]
        if self.path.startswith("/s3/"):
            return self._send(200, b"damaged" if name in self.server.damaged else self.server.files[name])
        if self.headers["Authorization"] != "Bearer lt_key":
            return self._send(401, json.dumps({"error": "UNAUTHORIZED", "message": "No such key."}).encode())
        self._send(200, json.dumps(MODEL | {"metadata": self.server.metadata}).encode())

    def do_POST(self) -> None:
        wish = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(f"{self.path} {wish['format']}")
        if self.server.preparing:
            self.server.preparing -= 1
            return self._send(202, json.dumps(DOWNLOAD | {"status": "preparing"}).encode())
        files = [self._row(name) for name in wish["files"]]
        self._send(200, json.dumps(DOWNLOAD | {"status": "ready", "files": files}).encode())

    def _row(self, name: str) -> dict[str, Any]:
        content = self.server.files[name]
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return {"name": name, "size": len(content), "checksum": digest, "url": f"{self.server.url}/s3/{name}"}

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePlatform]:
    no_pauses(monkeypatch)
    server = FakePlatform()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LUTHIER_BASE_URL", server.url)
    monkeypatch.setenv("LUTHIER_API_KEY", "lt_key")
    yield server
    server.shutdown()
    server.server_close()


def test_a_model_of_the_platform_is_fetched_once_with_its_spec(remote: FakePlatform) -> None:
    remote.metadata = {"behavior_spec": json.dumps({"system_prompt": "You sort tickets."})}
    given = command("acme/tickets-ft-1")
    folder = Path(given["--model"])
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name in remote.files} == remote.files
    assert given["--name"] == "acme/tickets-ft-1"
    assert given["--spec"] == str(folder / "tunedtensor.json")
    assert remote.asked[0] == "/v2/training/models/acme%2Ftickets-ft-1"
    fetched = [path for path in remote.asked if path.startswith("/s3/")]
    assert len(fetched) == 4
    assert command("acme/tickets-ft-1") == given
    assert [path for path in remote.asked if path.startswith("/s3/")] == fetched

    # Another version is another folder; a spec that is gone is gone here.
    remote.files, remote.metadata = remote.files | {"model.safetensors": b"other"}, {}
    again = command("acme/tickets-ft-1")
    assert again["--model"] != given["--model"]
    assert "--spec" not in again


@pytest.mark.parametrize("away", ["http://127.0.0.1:9", None])
def test_what_was_fetched_is_served_while_the_platform_is_away(
    remote: FakePlatform, monkeypatch: pytest.MonkeyPatch, away: str | None
) -> None:
    given = command("acme/tickets-ft-1")
    if away:
        monkeypatch.setenv("LUTHIER_BASE_URL", away)
    else:
        monkeypatch.delenv("LUTHIER_BASE_URL")
    assert command("acme/tickets-ft-1")["--model"] == command("model_1")["--model"] == given["--model"]
    refused("other", status=1 if away else 2)


def test_what_arrived_in_part_is_not_served_while_the_platform_is_away(
    remote: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.damaged = {"model.safetensors"}
    refused("tickets", status=1)
    monkeypatch.setenv("LUTHIER_BASE_URL", "http://127.0.0.1:9")
    assert "could not be reached" in refused("tickets", status=1)


def test_a_file_that_arrives_damaged_is_not_kept_and_what_arrived_whole_is(remote: FakePlatform) -> None:
    remote.damaged = {"model.safetensors", "tokenizer.json"}
    assert "model.safetensors arrived damaged" in refused("tickets", status=1)
    remote.damaged = set()
    remote.asked.clear()
    assert (Path(command("tickets")["--model"]) / "model.safetensors").read_bytes() == b"weights"


def test_what_the_platform_refuses_and_a_platform_that_is_not_there_are_told(
    remote: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_API_KEY", "lt_wrong")
    assert "No such key. [unauthorized]" in refused("tickets", status=4)
    monkeypatch.setenv("LUTHIER_BASE_URL", "http://127.0.0.1:9")
    assert "could not be reached" in refused("tickets", status=1)
