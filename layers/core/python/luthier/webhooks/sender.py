"""Posts to receivers, many at once on one event loop, over connections that stay open between calls.

No redirect is followed. A connection goes to an address that `Destinations` has just allowed, and to none else.
"""

import asyncio
import logging
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from luthier.errors import InvalidRequest
from luthier.webhooks.address import Destinations, Origin, Target, origin_of
from luthier.webhooks.connection import Answer, Connection, Malformed, Stale, connect

logger = logging.getLogger(__name__)
_IDLE_SECONDS = 30.0
_KEPT_PER_RECEIVER, _KEPT = 10, 256
# A lookup that hangs keeps its thread until the system gives up, some 20 s after the post did. Nobody can hold more
# threads than its share, which is more than an organization has endpoints: others find one free whatever hangs.
_LOOKUPS, _LOOKUPS_PER_OWNER = 512, 24
_USER_AGENT = "Luthier-Webhooks/1"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Post:
    """`owner`: on whose behalf it is sent; owners do not wait for each other's names."""

    url: str
    headers: dict[str, str]
    body: bytes
    seconds: float
    owner: str = ""


@dataclass(frozen=True)
class Outcome:
    """`status` and the beginning of the answer, or `error`, a sentence; `timed_out`: nothing came back in time."""

    milliseconds: int
    status: int | None = None
    text: str = ""
    error: str | None = None
    timed_out: bool = False


class Sender:
    """Owns an event loop: `run` drives it, and `post` is for those who have one message only."""

    def __init__(
        self, destinations: Destinations, tls: Callable[[], ssl.SSLContext] = ssl.create_default_context
    ) -> None:
        self._destinations = destinations
        self._make_tls = tls
        self._idle: dict[Origin, list[Connection]] = {}
        self._lookups: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        self._shares: weakref.WeakValueDictionary[str, asyncio.Semaphore] = weakref.WeakValueDictionary()
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="lookup")
        self._runner = asyncio.Runner()
        self._end = weakref.finalize(self, _shut, self._runner, self._idle, self._threads)
        self._end.atexit = False

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(work)

    def post(self, post: Post) -> Outcome:
        return self.run(self.send(post))

    def close(self) -> None:
        self._end()

    async def send(self, post: Post) -> Outcome:
        """Send one message. Whatever goes wrong is an outcome too."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(post.seconds):
                answer = await self._exchange(self._destinations.target(post.url), post)
        except TimeoutError:
            return Outcome(_since(started), error=f"No answer within {post.seconds:g} seconds.", timed_out=True)
        except InvalidRequest as refused:
            return Outcome(_since(started), error=refused.message)
        except (OSError, Malformed) as error:
            return Outcome(_since(started), error=_told(error))
        except Exception as error:
            logger.exception("A post to %s failed in a way nobody thought of.", origin_of(post.url))
            return Outcome(_since(started), error=f"The request failed: {type(error).__name__}.")
        return Outcome(_since(started), answer.status, answer.text)

    async def _exchange(self, target: Target, post: Post) -> Answer:
        request = _request(target, post)
        if kept := self._take(target):
            try:
                return await self._ask(target, kept, request)
            except Stale:
                pass
        return await self._ask(target, await self._open(target, post.owner), request)

    async def _ask(self, target: Target, connection: Connection, request: bytes) -> Answer:
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        if connection.open:
            self._keep(target, connection)
        else:
            connection.close()
        return answer

    async def _open(self, target: Target, owner: str) -> Connection:
        """A connection to the first address that takes one."""
        failure: OSError = OSError("The name has no address.")
        for address in await self._addresses(target, owner):
            try:
                connection = await connect(address, target.port, self._tls_for(target), target.host)
            except OSError as error:
                failure = error
                continue
            self._check(target, connection)
            return connection
        raise failure

    async def _addresses(self, target: Target, owner: str) -> list[str]:
        """One lookup per name at a time, whoever asks for it."""
        key = (target.host, target.port)
        if key not in self._lookups:
            share = self._shares.setdefault(owner, asyncio.Semaphore(_LOOKUPS_PER_OWNER))
            await share.acquire()
            if key in self._lookups:
                share.release()
            else:
                self._look_up(key, target, share)
        return await asyncio.shield(self._lookups[key])

    def _look_up(self, key: tuple[str, int], target: Target, share: asyncio.Semaphore) -> None:
        def ended(done: asyncio.Future[list[str]]) -> None:
            self._lookups.pop(key, None)
            share.release()
            # Everybody who asked may have run out of time; a failure that nobody hears of is none.
            _ = done.cancelled() or done.exception()

        loop = asyncio.get_running_loop()
        self._lookups[key] = loop.run_in_executor(self._threads, self._destinations.addresses, target)
        self._lookups[key].add_done_callback(ended)

    def _check(self, target: Target, connection: Connection) -> None:
        """The peer as it is now, whatever was resolved: the last word before anything is sent."""
        try:
            self._destinations.require(target, connection.address)
        except InvalidRequest:
            connection.close()
            raise

    def _tls_for(self, target: Target) -> ssl.SSLContext | None:
        return self._tls if target.scheme == "https" else None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._make_tls()

    def _take(self, target: Target) -> Connection | None:
        waiting = self._idle.get(target.origin, [])
        while waiting:
            connection = waiting.pop()
            if connection.open and time.monotonic() - connection.used_at < _IDLE_SECONDS:
                return connection
            connection.close()
        return None

    def _keep(self, target: Target, connection: Connection) -> None:
        if sum(map(len, self._idle.values())) >= _KEPT:
            _close_all(self._idle)
        waiting = self._idle.setdefault(target.origin, [])
        if len(waiting) < _KEPT_PER_RECEIVER:
            waiting.append(connection)
        else:
            connection.close()


def _request(target: Target, post: Post) -> bytes:
    lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.authority}", f"User-Agent: {_USER_AGENT}"]
    lines += [f"{name}: {value}" for name, value in post.headers.items()]
    lines += [f"Content-Length: {len(post.body)}", "", ""]
    return "\r\n".join(lines).encode() + post.body


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1_000)


def _told(error: Exception) -> str:
    """A failure to connect or to be understood, as a sentence."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"The certificate is not valid: {error.verify_message.rstrip('.')}."
        case ssl.SSLError():
            return f"TLS failed: {error.reason}."
        case socket.gaierror():
            return "The name cannot be resolved."
        case ConnectionRefusedError():
            return "The connection was refused."
        case Malformed():
            return str(error)
    return f"The connection failed: {error.strerror or error}." if isinstance(error, OSError) else str(error)


def _close_all(idle: dict[Origin, list[Connection]]) -> None:
    for connection in [connection for waiting in idle.values() for connection in waiting]:
        connection.close()
    idle.clear()


def _shut(runner: asyncio.Runner, idle: dict[Origin, list[Connection]], threads: ThreadPoolExecutor) -> None:
    async def close() -> None:
        _close_all(idle)
        await asyncio.sleep(0)

    def end() -> None:
        runner.run(close())
        runner.close()

    threads.shutdown(wait=False, cancel_futures=True)
    if asyncio._get_running_loop() is None:
        end()
    else:
        # Collected while another loop runs here: a thread has one loop at a time.
        threading.Thread(target=end).start()
