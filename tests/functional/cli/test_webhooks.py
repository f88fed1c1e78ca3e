"""`luthier webhooks` and `luthier events`: a log that is read, replayed, followed, and forwarded to this machine."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from luthier import wiring
from luthier.cli import following
from luthier.client import webhooks
from tests.functional.cli.terminal import Terminal
from tests.functional.webhooks.test_api import api, work
from tests.functional.webhooks.world import fact
from tests.receivers import Receiver, answering

__all__ = ["api"]
LOG = "/v1/webhooks/{}/deliveries"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as receiver:
        yield receiver


def created(terminal: Terminal, url: str, *words: str) -> dict[str, Any]:
    return dict(terminal.json("webhooks", "create", url, *words))


def happens(terminal: Terminal, name: str = "training.completed", **data: Any) -> str:
    """An event that is delivered at once: its id."""
    event = fact(name, **data)
    wiring.fan_out().spread(event)
    work(terminal.api)
    return event.id


def pauses(monkeypatch: pytest.MonkeyPatch, *turns: Callable[[], object]) -> None:
    """What happens while the command waits, turn by turn; then somebody presses ctrl-C."""
    waiting = iter(turns)

    def turn(_: float) -> None:
        try:
            next(waiting)()
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(following, "time", SimpleNamespace(sleep=turn))


def test_an_endpoint_is_made_listed_and_tried(terminal: Terminal, receiver: Receiver) -> None:
    said = terminal.shown("webhooks", "create", receiver.url(), "--event", "training.completed", "--name", "CI")
    assert "hears of training.completed" in said
    assert said.splitlines()[-1].startswith("whsec_")
    (hook,) = terminal.json("webhooks", "list")
    assert hook == terminal.api.get("/v1/webhooks").json()["webhooks"][0]
    assert receiver.url() in terminal.shown("webhooks", "list")
    assert "was taken: it answered 200" in terminal.shown("webhooks", "test", hook["id"])
    receiver.answer = lambda _: answering(500)
    assert terminal.json("webhooks", "test", hook["id"], status=7)["success"] is False
    assert "https://" in terminal.refused(2, "webhooks", "create", "ftp://example.com")


def test_deliveries_are_read_and_sent_again(terminal: Terminal, receiver: Receiver) -> None:
    hook = created(terminal, receiver.url())["id"]
    event = happens(terminal)
    path = LOG.format(hook)
    assert terminal.json("webhooks", "deliveries", hook) == terminal.api.get(path).json()["deliveries"]
    assert event in terminal.shown("webhooks", "deliveries", hook, "--status", "delivered")
    one = terminal.json("webhooks", "deliveries", hook, event)
    assert one == terminal.api.get(f"{path}/{event}").json()
    assert "llama-3.1-8b-v1" in terminal.shown("webhooks", "deliveries", hook, event)
    assert "is pending" in terminal.shown("webhooks", "replay", hook, "--delivery", event)
    work(terminal.api)
    assert len(receiver.received) == 2
    since = ("--since", "2026-01-01T00:00:00Z")
    assert terminal.json("webhooks", "replay", hook, *since, "--status", "delivered")["replayed"] == 1
    assert "0 are sent again" in terminal.shown("webhooks", "replay", hook, *since, "--status", "exhausted")
    assert "Give one of them." in terminal.refused(2, "webhooks", "replay", hook)


def test_what_is_delivered_comes_to_this_machine_too_signed_and_once(
    terminal: Terminal, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver().running() as real:
        hook = created(terminal, real.url("/real"))
        happens(terminal, jobId="before")
        seen: list[str] = []
        pauses(
            monkeypatch,
            lambda: seen.append(happens(terminal, jobId="über")),
            lambda: None,
            lambda: seen.append(happens(terminal, "model.deployed")),
        )
        words = ("webhooks", "listen", hook["id"], "--port", receiver.port, "--path", "/hooks", "--json")
        ended = terminal.run(*words, "--secret", hook["secret"])
    assert ended.exit_code == 130
    assert [json.loads(line)["id"] for line in ended.stdout.splitlines()] == seen
    assert [one.path for one in receiver.received] == ["/hooks", "/hooks"]
    for here, there in zip(receiver.received, real.received[1:], strict=True):
        assert (here.body, here.headers["webhook-id"]) == (there.body, there.headers["webhook-id"])
        assert webhooks.verify(here.body, here.headers, hook["secret"])["event"] == here.headers["x-webhook-event"]


def test_without_a_secret_nothing_is_signed_and_a_port_where_nobody_listens_is_told(
    terminal: Terminal, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = created(terminal, receiver.url())["id"]
    pauses(monkeypatch, lambda: happens(terminal))
    ended = terminal.run("webhooks", "listen", hook, "--port", receiver.port)
    assert "→ 200" in ended.stdout
    assert "webhook-signature" not in receiver.received[-1].headers
    pauses(monkeypatch, lambda: happens(terminal))
    ended = terminal.run("webhooks", "listen", hook, "--port", 9)
    assert (ended.exit_code, "did not answer" in ended.stdout) == (130, True)
    said = terminal.refused(2, "webhooks", "listen", hook, "--port", 9, "--secret", "whsec_****")
    assert "The secret is empty" in said
    terminal.refused(3, "webhooks", "listen", "wh_none", "--port", 9)


def test_an_outage_does_not_end_the_listening(
    terminal: Terminal, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = created(terminal, receiver.url())["id"]
    pauses(monkeypatch, lambda: terminal.network.faults.extend(["before"] * 3), *[lambda: None] * 3)
    monkeypatch.setattr("luthier.client.retrying.Retries._pause", lambda *_: None)
    assert terminal.run("webhooks", "listen", hook, "--port", receiver.port).exit_code == 130


def test_events_of_all_endpoints_are_told_once_in_their_order(
    terminal: Terminal, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "luthier webhooks create" in terminal.refused(3, "events", "tail")
    hooks = [created(terminal, receiver.url())["id"] for _ in range(2)]
    seen = [happens(terminal, jobId="one")]
    pauses(monkeypatch, lambda: seen.append(happens(terminal, "model.deployed", jobId="two")))
    ended = terminal.run("events", "tail", "--json")
    assert ended.exit_code == 130
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [event["id"] for event in told] == seen
    assert [event["data"]["jobId"] for event in told] == ["one", "two"]
    words = ("events", "tail", "--webhook", hooks[0], "--no-follow", "-n")
    assert "model.deployed" in terminal.shown(*words, 1)
    assert len(terminal.shown(*words, 1).splitlines()) == 1
    assert terminal.shown(*words, 0) == ""


def test_the_events_of_a_job_need_no_webhook(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    job = terminal.platform.job()
    pauses(monkeypatch, lambda: terminal.api.post(f"/api/v1/fine-tuning/jobs/{job.id}/stop"))
    ended = terminal.run("events", "tail", "--job", job.id, "--json")
    assert ended.exit_code == 130
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    listed = terminal.api.get(f"/v1/fine_tuning/jobs/{job.id}/events").json()["data"]
    assert told == listed[::-1]
    assert len(told) > 1
    assert len(terminal.shown("events", "tail", "--job", job.id, "--no-follow").splitlines()) == len(told)
    terminal.refused(2, "events", "tail", "--job", job.id, "--webhook", "wh_1")
    terminal.refused(3, "events", "tail", "--job", "ftjob_none", "--no-follow")
