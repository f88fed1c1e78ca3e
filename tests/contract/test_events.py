"""The catalogue of events: complete, described, and true of what the platform really reports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from infra import build_events
from luthier import table
from luthier.events.entity import EventType, catalogue
from tests.factories import BASE_MODEL, Platform, metrics_line, principal
from tests.functional.processing import world

CORE = Path(__file__).parents[2] / "layers" / "core" / "python" / "luthier"
NAMES = {
    "training.queued", "training.started", "training.progress", "training.completed", "training.failed",
    "training.stopped", "training.paused", "model.registered", "model.archived", "model.restored", "model.deleted",
    "model.deployed", "deployment.failed", "deployment.paused", "deployment.deleted", "dataset.validated",
    "processing.completed", "processing.failed",
    "batch.completed", "batch.failed", "batch.expired", "batch.cancelled",
    "dataset.rejected", "usage.threshold_reached", "webhook.disabled", "webhook.delivery_exhausted",
    "fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled",
    "alias.moved", "alias.rolled_back",
}  # fmt: skip


def test_the_catalogue_holds_the_names_that_subscribers_know() -> None:
    assert set(catalogue()) == NAMES


@pytest.mark.parametrize("kind", catalogue().values(), ids=lambda kind: kind.name)
def test_every_event_says_when_and_has_an_example_that_its_schema_accepts(kind: EventType) -> None:
    assert kind.when.endswith(".")
    jsonschema.Draft202012Validator.check_schema(kind.data)
    jsonschema.validate(kind.example, kind.data)
    assert kind.follows is None or kind.follows in catalogue()


def test_the_document_is_what_the_catalogue_says() -> None:
    assert build_events.DOCUMENT.read_text(encoding="utf-8") == build_events.rendered(), "run `make events`"


def test_every_event_that_the_code_reports_is_in_the_catalogue() -> None:
    reported = {name for path in CORE.rglob("*.py") for name in _reported(path)}
    assert {"training.queued", "model.registered", "dataset.validated"} <= reported <= NAMES


def test_what_nothing_reports_yet_is_marked_as_reserved_and_nothing_else_is() -> None:
    silent = {kind.name for kind in catalogue().values() if (kind.follows or kind.name) not in _written()}
    assert {kind.name for kind in catalogue().values() if kind.reserved} == silent


def test_what_the_platform_reports_matches_the_schemas(platform: Platform) -> None:
    who = principal()
    done = platform.completed(who)
    platform.deployed(who, done.result_model or "")
    platform.failed(who)
    stopped = platform.launched(who)
    platform.jobs.stop(who, stopped.id)
    platform.training_job(stopped, "Stopped")
    platform.pipeline.settle(platform.step(stopped))
    running = platform.launched(who)
    for steps in (1, 5):
        lines = [metrics_line(step + 1) for step in range(steps)]
        platform.watcher.metrics_written(platform.write_metrics(running, *lines))
    platform.dataset(who, b"nonsense\n")
    wanted = [world.eval_set(platform, who, count, f"{count}.jsonl") for count in (3, 4)]
    judged, refused = (found.processing for found in platform.evaluations.evaluate(who, BASE_MODEL, wanted))
    world.finish(platform, judged)
    world.fail(platform, refused, "ClientError: no")
    seen = {item["type"]: item["data"] for item in _outbox(platform)}
    for name, data in seen.items():
        jsonschema.validate(data, catalogue()[name].data)
    assert set(seen) >= {
        "training.queued", "training.started", "training.progress", "training.completed", "training.failed",
        "training.stopped", "model.registered", "model.deployed", "dataset.validated", "dataset.rejected",
        "processing.completed", "processing.failed",
    }  # fmt: skip


def _reported(path: Path) -> Iterator[str]:
    """String literals that look like the name of an event."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "event" and node.args:
            yield from (
                part.value
                for part in ast.walk(node.args[0])
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value != "training."
            )


def _written() -> set[str]:
    """Names of events that stand in the code where things happen, or are put together there from how a job ended."""
    talk = [CORE / "client", *(CORE / "webhooks" / f"{module}.py" for module in ("entity", "payload", "schema"))]
    texts = {
        node.value
        for path in CORE.rglob("*.py")
        if not any(path.is_relative_to(place) for place in talk)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return (NAMES & texts) | {f"training.{status}" for status in ("completed", "failed", "paused")}


def _outbox(platform: Platform) -> Iterator[table.Item]:
    return table.query(
        platform.dynamodb,
        TableName="luthier",
        KeyConditionExpression="pk = :p AND begins_with(sk, :e)",
        ExpressionAttributeValues={":p": {"S": "ORG#org_a"}, ":e": {"S": "EVENT#"}},
    )
