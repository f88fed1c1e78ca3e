"""A folder of jobs that moves in, and a platform behind real HTTP that gets on with its work while a command waits."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from luthier.cli import app
from luthier.cli.move_in import asking
from tests.factories import BASE_MODEL, metrics_line, rows
from tests.functional.api.test_openai_client import client_of
from tests.functional.cli.openai_source import Luthier, file_object, old_job, serving
from tests.gateway import Gateway


class World:
    """A folder of one job, and a platform whose jobs and deployments get to their ends while the command sleeps."""

    def __init__(self, api: Gateway, luthier: Luthier, folder: Path) -> None:
        self.api, self.luthier, self.folder = api, luthier, folder
        self.fails: set[str] = set()
        self.add(old_job())

    def add(self, job: dict[str, Any], content: bytes | None = None, **facts: Any) -> None:
        content = rows(20) if content is None else content
        self.write("jobs", job["id"], job)
        self.write("files", job["training_file"], file_object(job["training_file"], content, **facts))
        (self.folder / "files" / f"{job['training_file']}.jsonl").write_bytes(content)

    def write(self, part: str, name: str, content: Any) -> None:
        (self.folder / part).mkdir(exist_ok=True)
        (self.folder / part / f"{name}.json").write_text(json.dumps(content))

    def jobs(self) -> list[Any]:
        """Oldest first."""
        return list(client_of(self.api).fine_tuning.jobs.list())[::-1]

    def files(self) -> list[Any]:
        return [file for file in client_of(self.api).files.list() if file.purpose == "fine-tune"]

    def deployments(self) -> list[Any]:
        return list(self.api.get("/v2/training/deployments").json()["deployments"])

    def ask(self, name: str) -> str | None:
        asked = client_of(self.api).chat.completions.create(model=name, messages=[{"role": "user", "content": "Hello"}])
        return asked.choices[0].message.content

    def sleep(self, seconds: float) -> None:
        for job in self.jobs():
            if job.status == "queued" and job.to_dict()["status_reason"] is None:
                launched = self.api.platform.launch(self.api.platform.fresh_by_id(job.id))
                self.api.platform.write_metrics(launched, metrics_line(1, time="2026-01-01T00:00:01Z"))
                if job.metadata["moved_from"] in self.fails:
                    reason = 'AlgorithmError: {"code": "oom", "message": "It ran out of memory.", "hint": "h"}'
                    self.api.platform.training_job(launched, "Failed", FailureReason=reason)
                    self.api.platform.pipeline.settle(self.api.platform.step(launched))
                else:
                    self.api.platform.complete(launched)
        for found in self.deployments():
            if found["status"] == "deploying":
                made = self.api.platform.deployment_store.get("org_a", found["id"])
                assert made
                self.api.platform.run_deployment(made)


@pytest.fixture
def world(api: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("COLUMNS", "300")
    # Functions log to what standard output is when the first of them is loaded; the command has another for a while.
    assert api.get("/v1/models").status == 200
    with serving(Luthier(api)) as luthier:
        monkeypatch.setenv("LUTHIER_BASE_URL", f"{luthier.url}/v1")
        monkeypatch.setenv("LUTHIER_API_KEY", str(api.key))
        world = World(api, luthier, tmp_path)
        monkeypatch.setattr(asking, "sleep", world.sleep)
        yield world


def move_in(world: World, *words: str, status: int = 0, said: str | None = None) -> str:
    command, *rest = words
    found: Result = CliRunner().invoke(app, ["move-in", command, str(world.folder), *rest], input=said)
    assert found.exit_code == status, f"{found.output} {found.exception!r}"
    assert str(world.api.key) not in found.output
    return found.output


def run(world: World, *words: str, status: int = 0) -> str:
    return move_in(world, "run", *(words or ("--all",)), "--base", BASE_MODEL, "--yes", status=status)
