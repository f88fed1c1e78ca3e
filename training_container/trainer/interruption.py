"""SIGTERM: SageMaker sends it on a stop or before it takes a spot instance away, and waits 120 seconds."""

import signal
import time
from collections.abc import Callable

from trainer import log
from trainer.failures import Failure


class Interruption:
    """Until `defer` the signal ends the program at once, since nothing is worth saving; from then on it is a wish."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._deferred = False
        self._heir: Callable[[], None] | None = None

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: self.ask())

    def defer(self) -> None:
        self._deferred = True

    def pass_on(self, heir: Callable[[], None]) -> None:
        """From now on others do the work, and the wish is theirs to hear."""
        self._heir = heir

    @property
    def requested(self) -> bool:
        return self._asked_at is not None

    @property
    def waiting_seconds(self) -> float:
        """How long ago the signal came."""
        return 0.0 if self._asked_at is None else time.monotonic() - self._asked_at

    def ask(self) -> None:
        """What the signal does. Raises Failure(interrupted) while nothing is worth saving."""
        if not self.requested:
            log.info("stop requested")
        self._asked_at = self._asked_at or time.monotonic()
        if self._heir:
            self._heir()
        elif not self._deferred:
            raise Failure("interrupted", "The run was asked to stop before training began.")
