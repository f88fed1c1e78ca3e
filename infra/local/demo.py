"""`make demo`: a real model, fine-tuned through the REST API of this machine's cloud, compared before and after."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from infra.local import demo_report, preflight
from infra.local.options import REPOSITORY, Options
from infra.local.preflight import Refusal
from infra.local.sagemaker.child import Child
from infra.local.seed import BASE_MODELS, read_env

TICKETS = REPOSITORY / "training_container" / "demo" / "tickets"
# The best of those tried, see the dataset's README: a minute of training on two cores.
HYPERPARAMETERS = {
    "epochs": 3, "learningRate": 0.002, "batchSize": 4, "warmupSteps": 5,
    "loraRank": 8, "loraAlpha": 16, "loraLayers": 12, "maxSequenceLength": 256,
    # The tickets are few, and the demo asks its own held-out questions.
    "validationShare": 0,
}  # fmt: skip
_START_SECONDS = 300.0
_DEPLOY_SECONDS = 300.0
_TRAIN_SECONDS = 900.0
# As many questions at once as the server batches well; each one keeps a function busy.
_AT_ONCE = 4
_ANSWER_TOKENS = 24
_LATE = "no answer in time"
_DEPLOYING = ("deploying", _LATE)


def run(options: Options) -> int:
    """Start the cloud unless it runs, do the main job, stop what was started. Returns the exit code."""
    if options.base_model not in BASE_MODELS:
        raise Refusal("The demo needs a base model: --base-model demo or tiny.")
    console = Console(highlight=False)
    began = time.monotonic()
    try:
        with _cloud(options, console) as environment, _client(environment) as client:
            report = Demo(options, console, client).fine_tune()
            report.show(console, environment, time.monotonic() - began)
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    except httpx.HTTPStatusError as error:
        raise Refusal(f"{error.request.method} {error.request.url.path}: {error.response.text}") from error
    return 0


@contextmanager
def _cloud(options: Options, console: Console) -> Iterator[dict[str, str]]:
    if preflight.running(options):
        console.print("Using the local cloud that already runs.")
        yield read_env(options.env_file)
        return
    lines: list[str] = []
    command = [
        sys.executable, "-m", "infra.local", "up", "--state-dir", str(options.state_dir), "--port", str(options.port),
        "--aws-port", str(options.aws_port), "--base-model", options.base_model,
        "--wait-scale", str(options.wait_scale),
    ]  # fmt: skip
    child = Child(command, None, REPOSITORY, lines.append)
    try:
        with console.status("Starting the cloud on this machine …"):
            _wait_until_ready(child, lines)
        console.print(f"[green]✓[/] The cloud runs on this machine: {options.base_url}")
        yield read_env(options.env_file)
    finally:
        child.terminate()
        with console.status("Stopping the local cloud …"):
            if child.wait(60) is None:
                child.kill()


def _wait_until_ready(child: Child, lines: list[str]) -> None:
    until = time.monotonic() + _START_SECONDS
    while not any(line.startswith("Ready") for line in lines):
        if child.wait(0.2) is not None:
            child.drain()
            raise Refusal("\n".join(lines[-12:]) or "The local cloud ended at once.")
        if time.monotonic() > until:
            raise Refusal(f"The local cloud did not start within {_START_SECONDS:.0f} s.")


def _client(environment: dict[str, str]) -> httpx.Client:
    return httpx.Client(
        base_url=environment["LUTHIER_BASE_URL"],
        headers={"Authorization": f"Bearer {environment['LUTHIER_API_KEY']}"},
        timeout=60,
    )


class Demo:
    """The steps, each through the public API."""

    def __init__(self, options: Options, console: Console, client: httpx.Client) -> None:
        self._options = options
        self._console = console
        self._client = client
        self._base_model = BASE_MODELS[options.base_model][1]
        self._heldout = [json.loads(line) for line in (TICKETS / "heldout.jsonl").read_text("utf-8").splitlines()]

    def fine_tune(self) -> demo_report.Report:
        """Base model first, then the training, then the tuned model on the same questions."""
        self._deploy(f"/v2/training/models/{self._base_model}/deploy", f"Deploying the base model {self._base_model}")
        before = self._ask_all(self._base_model, "Asking the base model")
        file_id = self._upload(TICKETS / "train.jsonl")
        job = self._train(file_id)
        self._deploy(f"/api/v1/fine-tuning/jobs/{job['id']}/deploy", f"Deploying {job['resultModel']}")
        after = self._ask_all(job["resultModel"], "Asking the tuned model")
        metrics = self._call("GET", f"/api/v1/fine-tuning/jobs/{job['id']}/metrics")["metrics"]
        folder = self._options.state_dir / "demo"
        return demo_report.Report(folder, self._heldout, before, after, job, metrics["steps"])

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._client.request(method, path, **arguments)
        answer.raise_for_status()
        return answer.json()

    def _deploy(self, path: str, text: str) -> None:
        """Repeat the request until the model answers; repeating is safe, and a busy machine may be slow to answer."""
        until = time.monotonic() + _DEPLOY_SECONDS
        with self._console.status(f"{text} …"):
            while (status := self._asked_to_deploy(path)) in _DEPLOYING:
                if time.monotonic() > until:
                    said = f"Last answer: {status}. Log: {self._options.log}"
                    raise Refusal(f"{text}: not ready within {_DEPLOY_SECONDS:.0f} s. {said}")
                time.sleep(1)
        if status not in ("deployed", "active", "ready"):
            raise Refusal(f"{text}: {status}. Log: {self._options.log}")
        self._console.print(f"[green]✓[/] {text}")

    def _asked_to_deploy(self, path: str) -> str:
        try:
            answer = self._client.post(path)
        except httpx.TimeoutException:
            return _LATE
        if answer.status_code in (502, 503, 504):
            return _LATE
        answer.raise_for_status()
        return _status(answer.json())

    def _ask_all(self, model: str, text: str) -> list[str]:
        questions = [row["messages"][:-1] for row in self._heldout]
        with (
            self._console.status(f"{text} {len(questions)} held-out questions …"),
            ThreadPoolExecutor(_AT_ONCE) as pool,
        ):
            answers = list(pool.map(lambda messages: self._ask(model, messages), questions))
        self._console.print(f"[green]✓[/] {text} {len(answers)} held-out questions")
        return answers

    def _ask(self, model: str, messages: list[dict[str, str]]) -> str:
        body = {"model": model, "messages": messages, "max_tokens": _ANSWER_TOKENS, "temperature": 0}
        until = time.monotonic() + _DEPLOY_SECONDS
        while True:
            answer = self._client.post("/v1/chat/completions", json=body)
            if answer.status_code != 503 or time.monotonic() > until:
                answer.raise_for_status()
                return str(answer.json()["choices"][0]["message"]["content"])
            time.sleep(float(answer.headers.get("Retry-After", 1)))

    def _upload(self, path: Path) -> str:
        with path.open("rb") as content:
            files = {"file": (path.name, content, "application/jsonl")}
            file = self._call("POST", "/v1/files", files=files, data={"purpose": "fine-tune"})
        self._console.print(f"[green]✓[/] Uploaded {path.name}: {file['id']}")
        return str(file["id"])

    def _train(self, file_id: str) -> dict[str, Any]:
        wish = {
            "name": "Sort support tickets",
            "baseModel": self._base_model,
            "trainingDataset": file_id,
            "hyperparameters": HYPERPARAMETERS,
            "suffix": "tickets",
        }
        job = self._call("POST", "/api/v1/fine-tuning/jobs", json=wish)
        self._console.print(f"[green]✓[/] Created the job {job['id']}")
        job = self._follow(job["id"])
        if job["status"] != "completed":
            raise Refusal(f"The job ended {job['status']}: {job['statusReason'] or job['error']}")
        return dict(job)

    def _follow(self, job_id: str) -> dict[str, Any]:
        columns = (
            TextColumn("  {task.description:<11}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[loss]}"), TextColumn("{task.fields[left]}"), TimeElapsedColumn(),
        )  # fmt: skip
        until = time.monotonic() + _TRAIN_SECONDS
        with Progress(*columns, console=self._console) as progress:
            bar = progress.add_task("queued", total=100, loss="", left="")
            while True:
                job = self._call("GET", f"/api/v1/fine-tuning/jobs/{job_id}")
                progress.update(bar, **_shown(job))
                if job["status"] in ("completed", "failed", "stopped"):
                    return dict(job)
                if time.monotonic() > until:
                    raise Refusal(f"The job did not end within {_TRAIN_SECONDS:.0f} s. Log: {self._options.log}")
                time.sleep(0.5)


def _status(answer: dict[str, Any]) -> str:
    return str(answer.get("deployment", answer)["status"])


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    progress, loss = job.get("progress") or {}, job["metrics"]["trainingLoss"]
    left = progress.get("secondsRemaining")
    return {
        "description": job.get("phase") or job["status"],
        "completed": progress.get("percent") or 0,
        "loss": f"loss {loss:.3f}" if loss is not None else "",
        "left": f"{left:.0f} s left" if left else "",
    }
