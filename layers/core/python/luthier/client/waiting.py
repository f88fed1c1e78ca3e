"""Waiting for what goes on by itself, with progress."""

import time
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from luthier.client.core import Mode
from luthier.client.errors import ConnectionFailed, ServiceUnavailable, WaitTimedOut, WorkFailed
from luthier.client.flows import Flow, Pause
from luthier.client.resources import Resource, flow

Thing = TypeVar("Thing")
# Seconds between two looks, from the first to the later ones.
_SOON, _LATER = 1.0, 10.0
# Looks in a row that may fail. A run of hours outlasts an outage of minutes.
_FAULTS = 30


class Waiting(Resource[Mode], Generic[Mode, Thing]):
    """A resource whose things end. `_ended`, `_failed`: statuses, with spaces between."""

    _ended: ClassVar[str]
    _failed: ClassVar[str]

    def __init_subclass__(cls, ended: str = "", failed: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls._ended, cls._failed = ended, failed

    @flow
    def wait(
        self,
        *ids: str,
        timeout: float | None = None,
        on_progress: Callable[[Thing], object] | None = None,
    ) -> Flow[Thing]:
        """Wait until it has ended, and return it as it is then.

        ids: those that `get` takes; timeout: seconds, for ever by default; on_progress: called with it whenever
        something about it has changed.
        Raises WorkFailed if it failed, WaitTimedOut when the time is up, and what `get` raises; a server that does not
        answer for a while is waited for.
        """
        began, pause, faults, shown = time.monotonic(), _SOON, 0, None
        thing: Any = None
        while True:
            try:
                thing, faults = (yield from self._flow("get", *ids)), 0
            except (ConnectionFailed, ServiceUnavailable):
                faults += 1
                # Whoever has never answered may not be there at all.
                if thing is None or faults > _FAULTS:
                    raise
            if faults == 0 and thing != shown:
                shown = thing
                if on_progress is not None:
                    on_progress(thing)
            if faults == 0 and self._is_over(thing):
                return thing
            left = None if timeout is None else began + timeout - time.monotonic()
            if left is not None and left <= 0:
                raise WaitTimedOut(
                    f"{ids[-1]} has not ended after {timeout:g} seconds; it goes on.",
                    resource=thing,
                    remedy="Wait again.",
                )
            yield Pause(pause if left is None else min(pause, left))
            pause = min(pause * 1.5, _LATER)

    def _is_over(self, thing: Any) -> bool:
        if thing.status in self._failed.split():
            raise _failure(thing)
        return thing.status in self._ended.split()


def _failure(thing: Any) -> WorkFailed:
    """The reason as whatever it is tells it: an object or a text."""
    told = next((told for name in ("error", "status_reason", "status_details") if (told := _of(thing, name))), None)
    name = getattr(thing, "id", None) or type(thing).__name__
    message = _of(told, "message") or (told if isinstance(told, str) else f"It is {thing.status}.")
    code = str(_of(told, "code") or _of(told, "error") or thing.status).lower()
    return WorkFailed(f"{name}: {message}", resource=thing, code=code, remedy=_of(told, "hint"))


def _of(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
