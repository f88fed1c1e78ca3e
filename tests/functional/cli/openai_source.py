"""An OpenAI account on this machine that has fine-tuned, and Luthier's whole API behind real HTTP."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.gateway import Gateway

KEY = "sk-proj-secret-1234567890"
OLD_NAME = "ft:gpt-4o-mini-2024-07-18:acme:support:abc123"


def old_job(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A job as OpenAI's API shows it."""
    hyperparameters = {"n_epochs": 2, "batch_size": 1, "learning_rate_multiplier": 1.8}
    return {
        "object": "fine_tuning.job",
        "id": f"ftjob-{number}",
        "model": "gpt-4o-mini-2024-07-18",
        "created_at": 1_721_764_800 + number,
        "finished_at": 1_721_768_400 + number,
        "fine_tuned_model": OLD_NAME if number == 1 else f"ft:gpt-4o-mini-2024-07-18:acme:support:abc{number}",
        "organization_id": "org-123",
        "result_files": [f"file-result{number}"],
        "status": "succeeded",
        "validation_file": None,
        "training_file": f"file-train{number}",
        "hyperparameters": hyperparameters,
        "trained_tokens": 5768,
        "integrations": [],
        "seed": 7,
        "estimated_finish": 0,
        "error": None,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "user_provided_suffix": "support",
        "metadata": {"team": "support"},
    } | changes


def file_object(file_id: str, content: bytes, **changes: Any) -> dict[str, Any]:
    named = {"filename": "train.jsonl", "purpose": "fine-tune", "status": "processed", "created_at": 1_721_764_700}
    return {"object": "file", "id": file_id, "bytes": len(content)} | named | changes


class OpenAI(ThreadingHTTPServer):
    """asked: every path. page: the most rows of a list. failures: statuses with which the next requests are refused;
    cut: how many contents end too early."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _OpenAIAnswers)
        self.jobs: list[dict[str, Any]] = []
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.page = 2
        self.failures: list[int] = []
        self.cut = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def add(self, job: dict[str, Any], content: bytes, results: bytes = b"step,train_loss\n1,0.5\n") -> None:
        """A job and its files."""
        self.jobs.insert(0, job)
        training, result = job["training_file"], job["result_files"][0]
        self.add_file(training, content)
        self.add_file(result, base64.b64encode(results), filename="step_metrics.csv", purpose="fine-tune-results")

    def add_file(self, file_id: str, content: bytes, **facts: Any) -> None:
        self.files[file_id] = file_object(file_id, content, **facts)
        self.contents[file_id] = content


class _OpenAIAnswers(BaseHTTPRequestHandler):
    server: OpenAI
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.asked.append(self.path)
        if self.server.failures:
            status = self.server.failures.pop(0)
            return self._send(status, {"error": {"message": f"Try later, {KEY}.", "code": None}})
        if self.headers["Authorization"] != f"Bearer {KEY}":
            given = self.headers["Authorization"].removeprefix("Bearer ")
            message = f"Incorrect API key provided: {given[:8]}***{given[-4:]}."
            return self._send(401, {"error": {"message": message, "code": "invalid_api_key"}})
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path.removeprefix("/v1/").split("/"):
            case ["fine_tuning", "jobs"]:
                self._list(self.server.jobs, query)
            case ["fine_tuning", "jobs", job_id, "events"]:
                self._list([{"object": "fine_tuning.job.event", "id": f"ev-{job_id}-{n}"} for n in range(3)], query)
            case ["fine_tuning", "jobs", job_id, "checkpoints"]:
                self._list([_checkpoint(job_id, step) for step in (20, 10)], query)
            case ["files"]:
                self._list(list(self.server.files.values()), query)
            case ["files", file_id, "content"] if file_id in self.server.contents:
                self._content(self.server.contents[file_id])
            case _:
                self._send(404, {"error": {"message": f"No such File object: {parts.path}", "code": None}})

    def _list(self, rows: list[dict[str, Any]], query: dict[str, str]) -> None:
        start = next((at for at, row in enumerate(rows, 1) if row["id"] == query.get("after")), 0)
        page = rows[start : start + min(int(query["limit"]), self.server.page)]
        more = start + len(page) < len(rows)
        self._send(200, {"object": "list", "data": page, "has_more": more})

    def _content(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.cut:
            self.server.cut -= 1
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)

    def _send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None: ...


def _checkpoint(job_id: str, step: int) -> dict[str, Any]:
    metrics = {"step": step, "train_loss": 1 / step, "full_valid_loss": None}
    facts = {"id": f"ftckpt-{job_id}-{step}", "fine_tuning_job_id": job_id, "step_number": step, "metrics": metrics}
    return {"object": "fine_tuning.job.checkpoint"} | facts


class Luthier(ThreadingHTTPServer):
    """The API of `Gateway` at an address; asked: every request that came; losing: parts of requests, of which the next
    one with each is carried out, and its answer lost."""

    daemon_threads = True

    def __init__(self, api: Gateway) -> None:
        super().__init__(("127.0.0.1", 0), _LuthierAnswers)
        self.api = api.stranger()
        self.asked: list[str] = []
        self.losing: set[str] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _LuthierAnswers(BaseHTTPRequestHandler):
    server: Luthier
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.asked.append(f"{self.command} {self.path}")
            answer = self.server.api.send(self.command, self.path, body or None, headers=dict(self.headers.items()))
        if lost := {part for part in self.server.losing if part in f"{self.command} {self.path}"}:
            self.server.losing -= lost
            self.close_connection = True
            return
        content = answer.text.encode()
        self.send_response(answer.status)
        for name in ("content-type", "retry-after"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
