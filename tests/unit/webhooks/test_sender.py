"""The sender against real servers on this machine: good ones, slow ones, hostile ones."""

import asyncio
import gc
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from luthier.webhooks import connection
from luthier.webhooks.address import Destinations
from luthier.webhooks.sender import Outcome, Post, Sender
from tests.certificates import Authority
from tests.receivers import OK, Receiver, answering

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LOCAL = "127.0.0.0/8,::1/128"


@pytest.fixture
def sender() -> Iterator[Sender]:
    sender = Sender(Destinations(LOCAL))
    yield sender
    sender.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def post(url: str, seconds: float = 5, body: bytes = b'{"event":"x"}') -> Post:
    return Post(url, {"Content-Type": "application/json", "webhook-id": "evt_1"}, body, seconds)


def test_a_post_arrives_as_it_was_given(sender: Sender, receiver: Receiver) -> None:
    outcome = sender.post(post(receiver.url("/hook?a=b")))
    assert (outcome.status, outcome.text, outcome.error) == (200, "ok", None)
    (received,) = receiver.received
    assert (received.path, received.body) == ("/hook?a=b", b'{"event":"x"}')
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert received.headers["webhook-id"] == "evt_1"


def test_one_connection_serves_many_posts_and_several_calls(sender: Sender, receiver: Receiver) -> None:
    for _ in range(5):
        assert sender.post(post(receiver.url())).status == 200
    assert receiver.connections == 1


def test_a_connection_that_the_receiver_closed_meanwhile_is_opened_again(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda received: OK if len(received.body) < 3 else b""
    assert sender.post(post(receiver.url(), body=b"1")).status == 200
    receiver.answer = lambda received: b"" if received.connection == 1 else OK
    assert sender.post(post(receiver.url(), body=b"2")).status == 200
    assert receiver.connections == 2


@pytest.mark.parametrize("status", [201, 204, 301, 400, 404, 410, 429, 500, 503])
def test_every_status_is_reported_and_the_connection_stays_usable(
    status: int, sender: Sender, receiver: Receiver
) -> None:
    body = b"" if status == 204 else b"because"
    receiver.answer = lambda received: answering(status, body)
    for _ in range(2):
        outcome = sender.post(post(receiver.url()))
        assert (outcome.status, outcome.text, outcome.error) == (status, body.decode(), None)
    assert receiver.connections == 1


def test_answers_in_chunks_without_a_length_and_with_an_announcement_are_understood(
    sender: Sender, receiver: Receiver
) -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"
    for answer, text in ((chunks, "abcde"), (b"HTTP/1.1 103 Early\r\n\r\n" + OK, "ok"), (endless, "until the end")):
        receiver.answer = lambda received, answer=answer: answer  # type: ignore[misc]
        assert sender.post(post(receiver.url())).text == text


def test_a_redirect_is_not_followed(sender: Sender, receiver: Receiver) -> None:
    with Receiver().running() as elsewhere:
        receiver.answer = lambda received: answering(302, Location=elsewhere.url())
        assert sender.post(post(receiver.url())).status == 302
        assert elsewhere.received == []


def test_a_receiver_that_hangs_costs_its_own_time_and_nobody_elses(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda received: None
    with Receiver().running() as healthy:

        async def both() -> list[Outcome]:
            started = time.perf_counter()
            waiting = asyncio.create_task(sender.send(post(receiver.url(), seconds=1)))
            quick = await sender.send(post(healthy.url(), seconds=1))
            assert time.perf_counter() - started < 0.5
            return [await waiting, quick]

        hung, quick = sender.run(both())
    assert (hung.timed_out, hung.error) == (True, "No answer within 1 seconds.")
    assert quick.status == 200


def test_an_answer_that_drips_is_cut_off_in_time(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda received: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    assert sender.post(post(receiver.url(), seconds=0.3)).timed_out


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000, "longer than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnope\r\n", "has no size"),
        (b"", "without an answer"),
        *((CHUNKED + size + b"\r\n", "has no size") for size in (b"-6", b"+5", b"0x5", b"1_0", b"f" * 10_000, b"")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n", "no number of bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "no number of bytes"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n", "not HTTP"),
    ],
)
def test_nonsense_is_an_outcome_that_says_so(answer: bytes, said: str, sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda received: answer
    assert said in (sender.post(post(receiver.url())).error or "")


def test_an_answer_without_end_is_not_read_to_its_end(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda received: b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n" + b"z" * 100_000
    outcome = sender.post(post(receiver.url()))
    assert (outcome.status, len(outcome.text)) == (200, 500)


def test_an_answer_may_be_announced_often_and_come_in_many_pieces(sender: Sender, receiver: Receiver) -> None:
    pieces = CHUNKED + b"1\r\nz\r\n" * 5_000
    for answer, text in ((b"HTTP/1.1 103 Early\r\n\r\n" * 3_000 + OK, "ok"), (pieces, "z" * 100)):
        receiver.answer = lambda received, answer=answer: answer  # type: ignore[misc]
        outcome = sender.post(post(receiver.url()))
        assert (outcome.status, outcome.text) == (200, text)


def test_whatever_breaks_the_reading_of_an_answer_is_an_outcome(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_status", lambda head: 1 / 0)
    assert "cannot be read" in (sender.post(post(receiver.url())).error or "")


def test_nobody_listening_and_no_such_name_are_outcomes(sender: Sender) -> None:
    assert sender.post(post("http://127.0.0.1:9/")).error == "The connection was refused."

    def nowhere(host: str, port: int) -> list[str]:
        import socket

        raise socket.gaierror(-2, "Name or service not known")

    lost = Sender(Destinations(LOCAL, nowhere))
    assert lost.post(post("https://nowhere.example/")).error == "The name cannot be resolved."
    lost.close()


def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(receiver: Receiver) -> None:
    sender = Sender(Destinations(resolve=lambda host, port: ["127.0.0.1"]))
    outcome = sender.post(post(f"https://innocent.example:{receiver.port}/"))
    assert outcome.error == "innocent.example leads to 127.0.0.1, which is not a public address."
    assert receiver.connections == 0
    sender.close()


def test_a_name_that_flips_between_check_and_connect_gains_nothing(receiver: Receiver) -> None:
    """The first answer is allowed, every later one is not: the connection goes where the check looked."""
    answers = [["::1"]]
    asked: list[str] = []

    def flipping(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers.pop() if answers else ["127.0.0.1"]

    # ::1 stands in for a public address; the receiver listens on 127.0.0.1 alone.
    sender = Sender(Destinations("::1/128", flipping))
    assert sender.post(post(f"https://flip.example:{receiver.port}/")).status is None
    assert asked == ["flip.example"]
    second = sender.post(post(f"https://flip.example:{receiver.port}/"))
    assert "127.0.0.1, which is not a public address" in (second.error or "")
    assert receiver.connections == 0
    sender.close()


def test_the_address_is_checked_once_more_when_the_connection_stands(receiver: Receiver) -> None:
    """Whatever lay between the check and the connection, a peer inside hears nothing."""

    class Fooled(Destinations):
        def addresses(self, target: object) -> list[str]:
            return ["127.0.0.1"]

    sender = Sender(Fooled(), tls=lambda: None)  # type: ignore[arg-type, return-value]
    outcome = sender.post(post(f"https://fooled.example:{receiver.port}/"))
    assert "not a public address" in (outcome.error or "")
    assert receiver.received == []
    sender.close()


def test_a_name_server_that_hangs_delays_only_its_own_name(receiver: Receiver) -> None:
    def slow(host: str, port: int) -> list[str]:
        if host == "slow.example":
            time.sleep(1)
        return ["127.0.0.1"]

    sender = Sender(Destinations(LOCAL, slow))

    async def both() -> tuple[list[Outcome], float]:
        started = time.perf_counter()
        waiting = [asyncio.create_task(sender.send(post("https://slow.example/", seconds=0.4))) for _ in range(50)]
        await sender.send(post(f"http://quick.example:{receiver.port}/"))
        took = time.perf_counter() - started
        return await asyncio.gather(*waiting), took

    hung, took = sender.run(both())
    assert took < 0.35
    assert all(outcome.timed_out for outcome in hung)
    sender.close()


def test_names_that_hang_delay_only_their_owner(receiver: Receiver) -> None:
    over = threading.Event()

    def black_hole(host: str, port: int) -> list[str]:
        if host.startswith("hole"):
            over.wait(10)
        return ["127.0.0.1"]

    sender = Sender(Destinations(LOCAL, black_hole))

    async def both() -> tuple[list[Outcome], Outcome]:
        holes = [
            replace(post(f"http://hole{number}.example/", seconds=0.2), owner="org_hostile") for number in range(100)
        ]
        first = asyncio.gather(*map(sender.send, holes))
        good = replace(post(f"http://good.example:{receiver.port}/", seconds=0.2), owner="org_healthy")
        return await first, await sender.send(good)

    hung, good = sender.run(both())
    assert all(outcome.timed_out for outcome in hung)
    assert good.status == 200
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("lookup")]) < 30
    over.set()
    late = replace(post(f"http://good.example:{receiver.port}/late"), owner="org_hostile")
    assert sender.post(late).status == 200
    sender.close()


def test_a_failure_that_nobody_thought_of_is_an_outcome(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    def broken(host: str, port: int) -> list[str]:
        raise UnicodeError("label too long")

    sender = Sender(Destinations(LOCAL, broken))
    assert sender.post(post("https://broken.example/secret")).error == "The request failed: UnicodeError."
    assert "secret" not in caplog.text
    sender.close()


def test_a_sender_that_is_collected_while_a_loop_runs_closes_quietly(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    monkeypatch.setattr(sys, "excepthook", lambda *complaint: complaints.append(complaint))
    senders = [Sender(Destinations(LOCAL))]
    assert senders[0].post(post(receiver.url())).status == 200

    async def collect() -> None:
        senders.clear()
        gc.collect()
        await asyncio.sleep(0.1)

    asyncio.run(collect())
    assert complaints == []


def test_a_valid_certificate_is_accepted(authority: Authority) -> None:
    with Receiver(tls=authority.server("localhost")).running() as receiver:
        sender = Sender(Destinations(LOCAL), tls=lambda: ssl.create_default_context(cafile=str(authority.file)))
        assert sender.post(post(receiver.url())).status == 200
        assert sender.post(post(receiver.url())).status == 200
        assert receiver.connections == 1
        sender.close()


@pytest.mark.parametrize(
    ("kind", "said"),
    [("unknown", "certificate is not valid"), ("name", "certificate is not valid"), ("old", "expired")],
)
def test_a_bad_certificate_is_refused_and_nothing_is_sent(
    kind: str, said: str, authority: Authority, tmp_path: Path
) -> None:
    servers = {
        "unknown": lambda: Authority(tmp_path).server("localhost"),
        "name": lambda: authority.server("other.example"),
        "old": lambda: authority.server("localhost", expired=True),
    }
    with Receiver(tls=servers[kind]()).running() as receiver:
        sender = Sender(Destinations(LOCAL), tls=lambda: ssl.create_default_context(cafile=str(authority.file)))
        outcome = sender.post(post(receiver.url()))
        assert outcome.status is None
        assert said in (outcome.error or "")
        assert not (outcome.error or "").endswith("..")
        assert receiver.received == []
        sender.close()
