"""Webhooks: CPU per delivery against `requests.post`, and event → POST in the local cloud while one in ten hangs."""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

SECRET = "whsec_" + "a" * 44
EVENTS, ORGANIZATIONS = 1_000, 10
TIMEOUT_SECONDS = 15
_PATIENCE_SECONDS = 240

# A server of its own process, so that only the sender's processor time is measured.
_SERVER = """
import asyncio
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\\r")[0]))
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def main(runs: int) -> None:
    _sender(runs)
    _local_cloud()


def _sender(runs: int) -> None:
    with _server() as url:
        kinds: dict[str, Callable[[int], None]] = {"requests.post": _naive(url), "ours": _ours(url)}
        measured: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(runs):  # interleaved, so that a busy machine slows both
            for name, send in kinds.items():
                measured[name].append(_microseconds(send, 300 if name == "requests.post" else 2_000))
    reference = min(measured["requests.post"])
    print(f"{'signing, address check, POST':45s} {'min µs':>8s} {'median':>8s} {'reference ÷':>12s}")
    for name, values in measured.items():
        print(f"{name:45s} {min(values):8.0f} {statistics.median(values):8.0f} {reference / min(values):12.1f}")


@contextmanager
def _server() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/hook"
        finally:
            server.terminate()


def _body(number: int) -> tuple[bytes, dict[str, str]]:
    from luthier.webhooks import signing

    data = {"jobId": f"ftjob_{number:026d}", "baseModel": "llama-3.1-8b", "artifact": "x" * 800}
    body = json.dumps({"event": "training.completed", "data": data, "deliveredAt": "2026-01-01T00:00:00Z"}).encode()
    signed = signing.headers(f"evt_{number}", "training.completed", int(time.time()), body, [SECRET])
    return body, {"Content-Type": "application/json", **signed}


def _naive(url: str) -> Callable[[int], None]:
    import requests

    def send(count: int) -> None:
        for number in range(count):
            body, headers = _body(number)
            assert requests.post(url, data=body, headers=headers, timeout=TIMEOUT_SECONDS).status_code == 200

    return send


def _ours(url: str) -> Callable[[int], None]:
    import asyncio

    from luthier.webhooks.address import Destinations
    from luthier.webhooks.sender import Post, Sender

    sender = Sender(Destinations("127.0.0.0/8"))

    async def batch(count: int) -> None:
        async def one(number: int) -> None:
            body, headers = _body(number)
            assert (await sender.send(Post(url, headers, body, TIMEOUT_SECONDS))).status == 200

        # Batches of ten, as the queue hands them over.
        for start in range(0, count, 10):
            await asyncio.gather(*(one(number) for number in range(start, start + 10)))

    return lambda count: sender.run(batch(count))


def _microseconds(send: Callable[[int], None], count: int) -> float:
    send(20)
    start = time.process_time()
    send(count)
    return (time.process_time() - start) / count * 1e6


def _local_cloud() -> None:
    """Events enter the outbox as a change writes them; each organization has one endpoint, and one of ten hangs."""
    from tests.journey.local_cloud import LocalCloud
    from tests.receivers import Receiver

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        cloud = LocalCloud(Path(folder) / "state")
        cloud.start()
        stack.callback(cloud.stop)
        receivers = [stack.enter_context(Receiver().running()) for _ in range(ORGANIZATIONS)]
        receivers[0].answer = lambda received: None
        dynamodb, name = cloud.aws("dynamodb"), cloud.environment["LUTHIER_TABLE"]
        _register(dynamodb, name, [receiver.url() for receiver in receivers])
        _publish(dynamodb, name, 2 * ORGANIZATIONS, receivers)  # warm functions
        written = _publish(dynamodb, name, EVENTS, receivers)
        healthy = _latencies(written, receivers[1:])
    p50, p99 = statistics.median(healthy), statistics.quantiles(healthy, n=100)[98]
    serial = _serial(0.001)
    serial_p99 = statistics.quantiles(serial, n=100)[98]
    print(f"\n{EVENTS} events, {len(healthy)} to healthy receivers: event → POST p50 {p50:.2f} s, p99 {p99:.2f} s")
    print(f"a serial sender that waits {TIMEOUT_SECONDS} s for each that hangs: p99 {serial_p99:.0f} s (computed)")
    print(f"better at p99 by a factor of {serial_p99 / p99:.0f}")


def _register(dynamodb: Any, name: str, urls: list[str]) -> None:
    from luthier.accounts.entity import Principal
    from luthier.webhooks.address import Destinations
    from luthier.webhooks.sender import Sender
    from luthier.webhooks.service import WebhookService
    from luthier.webhooks.store import WebhookStore

    destinations = Destinations("127.0.0.0/8")
    service = WebhookService(WebhookStore(dynamodb, name), None, Sender(destinations), destinations)  # type: ignore[arg-type]
    for number, url in enumerate(urls):
        service.create(Principal(f"org_{number}", "u", "k", ("admin",)), url=url, events=["model.restored"])


def _publish(dynamodb: Any, name: str, count: int, receivers: list[Any]) -> dict[str, float]:
    """Write events and wait until every healthy receiver has its share; event id → when it was written."""
    from luthier import clock
    from luthier.events import outbox
    from luthier.events.entity import event

    before = [len(receiver.received) for receiver in receivers]
    written = {}
    for number in range(count):
        facts = {"modelId": "model_1", "name": "m"}
        fact = event("model.restored", f"org_{number % ORGANIZATIONS}", clock.iso(clock.now()), facts)
        written[fact.id] = time.time()
        dynamodb.transact_write_items(TransactItems=[outbox.write(fact, name)])
    until = time.monotonic() + _PATIENCE_SECONDS
    share = count // ORGANIZATIONS
    while any(len(r.received) - b < share for r, b in itertools.islice(zip(receivers, before, strict=True), 1, None)):
        assert time.monotonic() < until, [len(receiver.received) for receiver in receivers]
        time.sleep(0.05)
    return written


def _latencies(written: dict[str, float], receivers: list[Any]) -> list[float]:
    """Seconds from write to first arrival, for each event of the healthy receivers."""
    first: dict[str, float] = {}
    for received in (one for receiver in receivers for one in receiver.received):
        first.setdefault(received.headers["webhook-id"], received.at)
    return [first[name] - at for name, at in written.items() if name in first]


def _serial(post_seconds: float) -> list[float]:
    """When each healthy receiver hears of its event where one sender works through all of them in order."""
    now, heard = 0.0, []
    for number in range(EVENTS):
        hangs = number % ORGANIZATIONS == 0
        now += TIMEOUT_SECONDS if hangs else post_seconds
        if not hangs:
            heard.append(now)
    return heard


if __name__ == "__main__":
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    main(3)
