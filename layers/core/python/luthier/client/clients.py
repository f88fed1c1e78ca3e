"""The two clients."""

from types import TracebackType
from typing import Any

import httpx

from luthier.client.api.root import Root
from luthier.client.configuration import find
from luthier.client.core import Core
from luthier.client.flows import Async, Sync
from luthier.client.retrying import Retries

# Seconds. A long answer in one piece says nothing for minutes.
_TIMEOUT = httpx.Timeout(600, connect=10)


class Luthier(Root[Sync]):
    """A client that blocks. Threads may share it; close it, or use it in a `with` statement.

    api_key, base_url: else LUTHIER_API_KEY and LUTHIER_BASE_URL, else ~/.luthier/config.toml; profile: its table;
    timeout: seconds of silence until a request has failed, 600 by default; max_retries: tries after the first one;
    http_client: for proxies, certificates and tests; it is not closed with this one.
    Raises ConfigurationError where key or address are missing.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        profile: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        max_retries: int = 2,
        http_client: httpx.Client | None = None,
    ) -> None:
        configuration = find(api_key, base_url, profile)
        self._owned = httpx.Client() if http_client is None else None
        mode = Sync(http_client or self._owned or httpx.Client())
        super().__init__(Core(mode, configuration, Retries(max_retries), _timeout(timeout), self))

    def with_options(
        self, *, timeout: float | httpx.Timeout | None = None, max_retries: int | None = None
    ) -> "Luthier":
        """The same client with other options, over the same connections."""
        return _changed(self, timeout, max_retries)

    def close(self) -> None:
        if self._owned:
            self._owned.close()

    def __enter__(self) -> "Luthier":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncLuthier(Root[Async]):
    """The same for event loops: methods are awaited, lists gone through with `async for`."""

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        profile: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        max_retries: int = 2,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        configuration = find(api_key, base_url, profile)
        self._owned = httpx.AsyncClient() if http_client is None else None
        mode = Async(http_client or self._owned or httpx.AsyncClient())
        super().__init__(Core(mode, configuration, Retries(max_retries), _timeout(timeout), self))

    def with_options(
        self, *, timeout: float | httpx.Timeout | None = None, max_retries: int | None = None
    ) -> "AsyncLuthier":
        """The same client with other options, over the same connections."""
        return _changed(self, timeout, max_retries)

    async def close(self) -> None:
        if self._owned:
            await self._owned.aclose()

    async def __aenter__(self) -> "AsyncLuthier":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _timeout(given: float | httpx.Timeout | None) -> httpx.Timeout:
    return _TIMEOUT if given is None else given if isinstance(given, httpx.Timeout) else httpx.Timeout(given)


def _changed(client: Any, timeout: float | httpx.Timeout | None, max_retries: int | None) -> Any:
    changed: Any = object.__new__(type(client))
    changed._owned = None
    core = client._core
    retries = core.retries if max_retries is None else Retries(max_retries)
    silence = core.timeout if timeout is None else _timeout(timeout)
    Root.__init__(changed, core.changed(retries=retries, timeout=silence, root=changed))
    return changed
