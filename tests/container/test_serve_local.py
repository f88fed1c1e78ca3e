"""The server for one model on one machine: the container's own, with defaults, a spec, a schema, and an end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.container.programs import Program, start

QUESTION = [{"role": "user", "content": "My parcel has not arrived, it can wait."}]
SPEC = {"system_prompt": "You sort tickets.", "guidelines": ["Be brief."], "constraints": ["Answer in JSON."]}
SCHEMA = {
    "type": "object",
    "properties": {"urgency": {"enum": ["low", "high"]}},
    "required": ["urgency"],
    "additionalProperties": False,
}


class Local:
    def __init__(self, model: Path, *options: object) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.program: Program = start(
            "trainer.serve_local", "--model", model, "--device", "cpu", "--port", self.port, *options
        )
        self.program.wait_for(self._answers)

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def ask(self, **fields: Any) -> tuple[int, Any]:
        return self.request("POST", "/v1/chat/completions", {"messages": QUESTION, "temperature": 0, **fields})

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/health")[0] == 200
        except OSError:
            return False


Serve = Callable[..., Local]


@pytest.fixture
def serve(tiny: Path) -> Iterator[Serve]:
    started: list[Local] = []

    def begin(*options: object, model: Path = tiny) -> Local:
        started.append(Local(model, *options))
        return started[-1]

    yield begin
    for local in started:
        local.program.kill()


def written(folder: Path, content: Any) -> Path:
    path = folder / "given.json"
    path.write_text(json.dumps(content))
    return path


def test_the_server_tells_what_it_serves_and_answers_as_openai_does(serve: Serve) -> None:
    local = serve("--name", "tickets", "--max-tokens", "7")
    assert local.request("GET", "/health") == (
        200,
        {"status": "ok", "model": "tickets", "spec_prompt": False, "device": "cpu"},
    )
    assert local.request("GET", "/v1/models")[1]["data"][0]["id"] == "tickets"
    status, answer = local.ask()
    assert (status, answer["object"], answer["model"]) == (200, "chat.completion", "tickets")
    assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (7, "length")
    asked = {"messages": QUESTION, "temperature": 0}
    assert local.request("POST", "/chat/completions", asked)[1]["choices"] == answer["choices"]
    status, content = local.ask(messages=[])
    assert (status, content["error"]["param"]) == (400, "messages")
    for listing in ("/v1/models", "/models"):
        assert local.request("GET", f"{listing}/tickets?verbose=1")[1] == local.request("GET", listing)[1]["data"][0]
    status, content = local.request("GET", "/v1/models/other")
    assert (status, content["error"]["code"]) == (404, "model_not_found")
    for method, path in (("GET", "/ping"), ("POST", "/invocations"), ("POST", "/adapters"), ("DELETE", "/adapters/x")):
        assert local.request(method, path, {})[0] == 404
    for method in ("PUT", "PATCH", "OPTIONS"):
        status, content = local.request(method, "/v1/chat/completions", {})
        assert (status, content["error"]["type"]) == (405, "invalid_request_error")


def test_without_a_limit_of_its_own_an_answer_never_asks_for_more_than_the_context_has(serve: Serve) -> None:
    status, answer = serve("--max-tokens", "4000").ask()
    assert (status, answer["usage"]["total_tokens"] <= 512) == (200, True)


def test_a_spec_speaks_before_every_conversation(serve: Serve, tmp_path: Path) -> None:
    plain, told = serve(), serve("--spec", written(tmp_path, SPEC))
    assert told.request("GET", "/health")[1]["spec_prompt"] is True
    prompt = "You sort tickets.\n\nGuidelines:\n- Be brief.\n\nConstraints:\n- Answer in JSON."
    _, by_hand = plain.ask(messages=[{"role": "system", "content": prompt}, *QUESTION], max_tokens=20)
    _, by_spec = told.ask(max_tokens=20)
    assert by_spec["choices"] == by_hand["choices"]
    assert by_spec["usage"] == by_hand["usage"]
    assert told.ask(messages=[])[0] == 400


def test_an_adapter_answers_in_the_place_of_its_base(serve: Serve, tiny: Path, tuned: Path) -> None:
    def said(local: Local) -> str:
        return str(local.ask(max_tokens=24)[1]["choices"][0]["message"]["content"])

    assert said(serve("--base", tiny, model=tuned / "model")).startswith('{"intent"')
    assert "intent" not in said(serve())


def test_every_answer_follows_the_schema_of_the_server_and_one_that_is_cut_is_a_422(
    serve: Serve, tmp_path: Path
) -> None:
    local = serve("--json-schema", written(tmp_path, SCHEMA), "--json-repair-attempts", "2")
    status, answer = local.ask()
    assert (status, set(json.loads(answer["choices"][0]["message"]["content"]))) == (200, {"urgency"})
    status, content = local.ask(max_tokens=2)
    assert status == 422
    assert {"message", "details", "content"} < set(content["error"])
    assert content["error"]["content"].startswith("{")
    # A client may want another format, and then gets it.
    assert local.ask(response_format={"type": "text"}, max_tokens=2)[0] == 200


def test_an_answer_that_was_cut_behind_a_closed_gate_is_the_gate_alone(serve: Serve, tmp_path: Path) -> None:
    gated = {
        "type": "object",
        "properties": {"should_process": {"const": False}, "text": {"type": "string", "minLength": 400}},
        "required": ["should_process", "text"],
        "additionalProperties": False,
    }
    schema = written(tmp_path, gated)
    status, answer = serve("--json-schema", schema, "--gate-field", "should_process").ask(max_tokens=60)
    assert status == 200, answer
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"should_process": False}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert serve("--json-schema", schema, "--json-repair-attempts", "0").ask(max_tokens=60)[0] == 422


def test_a_server_that_nobody_asks_ends_by_itself(serve: Serve) -> None:
    local = serve("--idle-timeout", "2")
    asked = time.monotonic()
    while time.monotonic() - asked < 3:
        assert local.ask(max_tokens=1)[0] == 200
        time.sleep(0.3)
    assert local.program.exit_code == 0
    assert "the server ends" in local.program.lines[-1]["message"]


def test_ctrl_c_ends_the_server_in_the_middle_of_an_answer(serve: Serve) -> None:
    local = serve()
    connection = HTTPConnection("127.0.0.1", local.port, timeout=60)
    body = {"messages": QUESTION, "temperature": 1.9, "max_tokens": 450, "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    connection.getresponse().readline()
    asked = time.monotonic()
    os.kill(local.program.process.pid, signal.SIGINT)
    assert local.program.exit_code == 0
    assert time.monotonic() - asked < 2
    connection.close()


def test_a_port_that_is_taken_and_a_device_that_is_not_there_end_the_server(serve: Serve, tiny: Path) -> None:
    taken = serve().port
    second = start("trainer.serve_local", "--model", tiny, "--port", taken)
    assert second.exit_code == 2
    assert any("cannot listen" in line["message"] for line in second.lines)
    elsewhere = start("trainer.serve_local", "--model", tiny, "--port", "0", "--device", "mps")
    assert elsewhere.exit_code == 2
    assert "no mps device" in elsewhere.lines[-1]["message"]


def test_the_command_line_serves_a_folder_until_ctrl_c(tiny: Path, tmp_path: Path) -> None:
    from luthier.cli import runtime

    python = tmp_path / "runtime" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "runtime" / runtime.STAMP).write_text(runtime.stamp())
    written(tmp_path, SPEC).rename(tmp_path / "tunedtensor.json")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    words = ["models", "serve", str(tiny), "--port", port, "--device", "cpu", "--log-file", "server.log"]
    served = subprocess.Popen(
        [sys.executable, "-c", "from luthier.cli import main; main()", *words],
        cwd=tmp_path,
        env=os.environ | {"LUTHIER_RUNTIME": str(tmp_path / "runtime")},
    )
    try:
        local = Local.__new__(Local)
        local.port = int(port)
        end = time.monotonic() + 60
        while not local._answers():
            assert served.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        assert local.request("GET", "/health")[1] == {
            "status": "ok", "model": "tiny", "spec_prompt": True, "device": "cpu",
        }  # fmt: skip
        assert local.ask(max_tokens=3)[0] == 200
        served.send_signal(signal.SIGINT)
        assert served.wait(5) == 0
    finally:
        served.kill()
    assert "model loaded" in (tmp_path / "server.log").read_text()


def test_a_server_that_has_answered_its_share_ends_with_a_status_of_its_own(serve: Serve) -> None:
    local = serve("--most-requests", "2")
    assert [local.ask(max_tokens=1)[0] for _ in range(2)] == [200, 200]
    assert local.program.exit_code == 75
