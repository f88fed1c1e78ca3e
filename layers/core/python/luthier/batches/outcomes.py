"""Outcomes as their owners read them: lines of OpenAI's output files, and rows of results."""

from typing import Any

from luthier.batches.entity import Outcome
from luthier.wire import openai_error


def file_line(outcome: Outcome) -> dict[str, Any]:
    """A line of an output or error file: a response with its status, or an error where none was ever asked for."""
    line = {"id": outcome.request_id, "custom_id": outcome.custom_id, "response": None, "error": None}
    if outcome.body is not None:
        return line | {"response": _response(outcome, 200, outcome.body) | _by(outcome)}
    error = outcome.error or {}
    if error["status"] is None:
        return line | {"error": {"code": error["code"], "message": error["message"]}}
    shape = openai_error(error["status"], error["code"], error["message"], error["param"])
    return line | {"response": _response(outcome, error["status"], {"error": shape})}


def result(outcome: Outcome) -> dict[str, Any]:
    """A row of results: what a single answer of the tuning surface has, or the error in its place."""
    row: dict[str, Any] = {"id": outcome.custom_id, "status": "failed" if outcome.error else "completed"}
    if outcome.body is None:
        return row | {"error": outcome.error, "metadata": outcome.metadata}
    choice = outcome.body["choices"][0]
    return row | {
        "text": choice["message"].get("content") or "",
        "finish_reason": choice.get("finish_reason") or "stop",
        "tokens": sum(outcome.tokens.values()),
        "model": outcome.body["model"],
        "latency_ms": outcome.latency_ms,
        "cost": outcome.cost,
        "metadata": outcome.metadata,
        **_by(outcome),
    }


def _by(outcome: Outcome) -> dict[str, Any]:
    """Which deployment has answered, and which version of the model it has."""
    return {"deployment_id": outcome.deployment_id, "model_version": outcome.version}


def _response(outcome: Outcome, status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": outcome.request_id, "body": body}
