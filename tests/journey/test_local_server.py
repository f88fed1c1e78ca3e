"""A model of the platform on a machine without it: `luthier models serve <id>` fetches it and answers with it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from infra.local.options import REPOSITORY
from luthier.cli import runtime
from tests.container.hub import LocalHub
from tests.journey.customer import Customer
from tests.journey.local_cloud import ENVIRONMENT, LocalCloud, free_port, wait_for
from tests.journey.test_serving import QUESTIONS

SPEC = {"system_prompt": "You sort tickets.", "guidelines": ["Answer in JSON."]}
PROMPT = "You sort tickets.\n\nGuidelines:\n- Answer in JSON."


def test_a_model_of_the_platform_is_fetched_and_answers_with_its_spec_without_the_platform(
    cloud: LocalCloud, completed: dict[str, Any], customer: Customer, tmp_path: Path
) -> None:
    model = completed["resultModel"]
    customer.call("PATCH", f"/v2/training/models/{model}", json={"metadata": {"behavior_spec": json.dumps(SPEC)}})
    port = free_port()
    command = [sys.executable, "-c", "from luthier.cli import main; main()", "models", "serve", model]
    with (tmp_path / "server.log").open("w") as log:
        served = subprocess.Popen(
            [*command, "--port", str(port), "--device", "cpu"],
            cwd=tmp_path,
            env=ENVIRONMENT | cloud.environment | _runtime(tmp_path),
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as local:
            health = wait_for(lambda: _healthy(served, local, tmp_path / "server.log"), 180, "the model is served")
            assert health == {"status": "ok", "model": model, "spec_prompt": True, "device": "cpu"}
            body = {"messages": [{"role": "user", "content": QUESTIONS[0]}], "temperature": 0, "max_tokens": 12}
            answer = local.post("/v1/chat/completions", json=body).json()
            assert answer["model"] == model
            assert answer["usage"]["completion_tokens"]
            # The spec's prompt was read along with the question.
            told = local.post("/v1/completions", json={"prompt": PROMPT, "max_tokens": 1}).json()
            assert answer["usage"]["prompt_tokens"] > told["usage"]["prompt_tokens"]
        served.send_signal(signal.SIGINT)
        assert served.wait(5) == 0
    finally:
        served.kill()
        customer.call("PATCH", f"/v2/training/models/{model}", json={"metadata": {}})


def test_a_managed_server_answers_on_after_its_process_was_killed_has_rested_or_is_worn(
    completed: dict[str, Any], hub: LocalHub, tmp_path: Path
) -> None:
    port = free_port()
    options = ["--managed", "--restart-after-requests", "3", "--idle-timeout", "4", "--port", str(port)]
    command = [sys.executable, "-c", "from luthier.cli import main; main()", "models", "serve", str(hub.folder)]
    with (tmp_path / "server.log").open("w") as log:
        served = subprocess.Popen(
            [*command, *options], cwd=tmp_path, env=ENVIRONMENT | _runtime(tmp_path), stdout=log, stderr=log
        )
    body = {"messages": [{"role": "user", "content": QUESTIONS[0]}], "max_tokens": 1}
    seen: set[int] = set()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as local:

            def process_that_answered() -> int:
                answer = local.post("/v1/chat/completions", json=body)
                assert answer.status_code == 200, answer.text
                [process] = _children(served.pid)
                return process

            def another_answers(why: str) -> None:
                found = wait_for(lambda: (one := process_that_answered()) not in seen and one, 120, why)
                seen.add(found)

            wait_for(lambda: _healthy(served, local, tmp_path / "server.log"), 180, "the model is served")
            another_answers("it answers")
            for _ in range(2):
                assert local.post("/v1/chat/completions", json=body).status_code == 200
            another_answers("another process has taken over from the worn one")
            wait_for(lambda: not _children(served.pid), 30, "nobody asks, and it rests")
            another_answers("it is awake again")
            os.kill(max(seen), signal.SIGKILL)
            wait_for(lambda: _healthy(served, local, tmp_path / "server.log"), 60, "the killed one has a successor")
        served.terminate()
        assert served.wait(10) == 0
        assert not Path(f"/proc/{max(seen)}").exists()
    finally:
        for process in _children(served.pid):
            os.kill(process, signal.SIGKILL)
        served.kill()
        served.wait()


def _children(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except FileNotFoundError:
        return []


def _healthy(served: "subprocess.Popen[bytes]", local: httpx.Client, log: Path) -> dict[str, Any] | None:
    assert served.poll() is None, log.read_text()
    try:
        answer = local.get("/health")
    except httpx.TransportError:
        return None
    return dict(answer.json()) if answer.status_code == 200 else None


def _runtime(folder: Path) -> dict[str, str]:
    """The trainer's environment as the runtime of this version, and a home that is empty."""
    python = folder / "runtime" / "bin" / "python"
    python.parent.mkdir(parents=True)
    trainer = REPOSITORY / ".venv-trainer" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {trainer} "$@"\n')
    python.chmod(0o755)
    (folder / "runtime" / runtime.STAMP).write_text(runtime.stamp())
    sources = [str(REPOSITORY / path) for path in ("training_container", "layers/core/python")]
    return {
        "LUTHIER_RUNTIME": str(folder / "runtime"),
        "LUTHIER_HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join(sources),
    }
