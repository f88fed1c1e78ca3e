"""Asking an HTTP API on a bad line: what may pass is tried again, a refusal is told without the key."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx

from luthier.cli.stop import REFUSED, UNREACHABLE, Stop

_TIMEOUT = httpx.Timeout(120.0, connect=20.0)
_TRIES = 5
_LONGEST_PAUSE_SECONDS = 60.0
_CHUNK_BYTES = 1 << 20
# What a few tries do not outlast, though it is answered like what they do.
_LASTING = ("concurrent_jobs_exceeded", "insufficient_quota")
sleep = time.sleep
Taken = TypeVar("Taken")


class Refused(Stop):
    """http_status, code: as the API has answered; pause: seconds after which it may be asked again, if at all."""

    def __init__(self, message: str, remedy: str, http_status: int, code: str = "", pause: str | None = None) -> None:
        super().__init__(message, remedy, UNREACHABLE if http_status >= 500 else REFUSED)
        self.http_status, self.code, self.pause = http_status, code, pause

    @property
    def may_pass(self) -> bool:
        return (self.http_status in (408, 429) or self.http_status >= 500) and self.code not in _LASTING


class Api:
    """One API with one key. key_name: the environment variable that the key came from."""

    def __init__(self, url: str, key: str, key_name: str, headers: dict[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self._key, self._key_name = key, key_name
        try:
            self._client = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {key}"} | (headers or {}),
                timeout=_TIMEOUT,
                # Contents may lie elsewhere; the key is not sent there.
                follow_redirects=True,
            )
        except (httpx.InvalidURL, UnicodeEncodeError):
            message = f"{self.url} is no address, or {key_name} holds characters that no key has."
            raise Stop(message, "Set both as they were given to you.") from None

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The object that is answered. Raises Refused, and Stop where nothing answers."""
        return self._tried(method, path, self._object, **options)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return self.ask("GET", path, params=query or None)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> dict[str, Any]:
        """key: of its own for each thing that is to be made once, whatever happens to the answer."""
        return self.ask("POST", path, json=body, headers={"Idempotency-Key": key} if key else None)

    def pages(self, path: str, limit: int) -> Iterator[dict[str, Any]]:
        """Everything of a list, page by page behind the last id."""
        query: dict[str, Any] = {"limit": limit}
        while True:
            page = self.get(path, **query)
            rows = page.get("data")
            if not isinstance(rows, list):
                raise Stop(f"{self.url}{path} answers no list.", "Check the address: it ends in /v1 as a rule.")
            yield from rows
            if not (page.get("has_more") and rows):
                return
            query["after"] = rows[-1]["id"]

    def download(self, path: str, target: Path) -> None:
        """Write what is answered into a file, which is whole once this returns. Raises as `ask`."""

        def write(response: httpx.Response) -> None:
            with target.open("wb") as file:
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    file.write(chunk)

        self._tried("GET", path, write)

    def _tried(self, method: str, path: str, take: Callable[[httpx.Response], Taken], **options: Any) -> Taken:
        for attempt in range(_TRIES):
            try:
                with self._client.stream(method, path, **options) as response:
                    if response.is_success:
                        return take(response)
                    response.read()
                    raise self._refused(response)
            except Refused as refused:
                if not refused.may_pass or attempt == _TRIES - 1:
                    raise
                pause = refused.pause
            except httpx.HTTPError as error:
                if attempt == _TRIES - 1 or isinstance(error, httpx.UnsupportedProtocol):
                    raise self._unreachable(error) from None
                pause = None
            sleep(_seconds(pause, attempt))
        raise AssertionError("The last try returns or raises.")

    def _unreachable(self, error: httpx.HTTPError) -> Stop:
        reason = self._without_key(str(error) or type(error).__name__)
        remedy = "Check the address and the network, and run the command again: it goes on where it was."
        return Stop(f"{self.url} could not be reached: {reason}", remedy, UNREACHABLE)

    def _refused(self, response: httpx.Response) -> Refused:
        status = response.status_code
        # What some APIs say of a wrong key repeats half of it.
        if status == 401:
            message = f"{self.url} does not know the key in {self._key_name} (401)."
            return Refused(message, f"Set {self._key_name} to a key that is valid there.", status)
        try:
            content = response.json()
            told = content["error"] if isinstance(content.get("error"), dict) else content
            message, code = str(told["message"]), str(told.get("code") or told.get("error") or "")
        except (ValueError, KeyError, TypeError, AttributeError):
            message, code = response.text[:200], ""
        remedy = "Mend that and run the command again."
        if status == 403:
            remedy = f"The key in {self._key_name} needs the right to it."
        where = f"{response.request.url.path} answers {status}"
        pause = response.headers.get("Retry-After")
        return Refused(f"{where}: {self._without_key(message)}", remedy, status, code.lower(), pause)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "…")

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        response.read()
        try:
            content = response.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise Stop(f"{response.request.url.path} of {self.url} answers no JSON object.", "Check the address.")
        return content


def _seconds(told: str | None, attempt: int) -> float:
    try:
        wanted = float(told or 2**attempt)
    except ValueError:
        wanted = 2.0**attempt
    return min(max(wanted, 0.0), _LONGEST_PAUSE_SECONDS)
