"""SIGTERM: SageMaker sends it on a stop or before it takes a spot instance away, and waits 120 seconds."""

import signal
import time
from types import FrameType

from trainer import log
from trainer.failures import Failure


class Interruption:
    """Until `defer` the signal ends the program at once, since nothing is worth saving; from then on it is a wish."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._deferred = False

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._receive)

    def defer(self) -> None:
        self._deferred = True

    @property
    def requested(self) -> bool:
        return self._asked_at is not None

    @property
    def waiting_seconds(self) -> float:
        """How long ago the signal came."""
        return 0.0 if self._asked_at is None else time.monotonic() - self._asked_at

    def _receive(self, number: int, frame: FrameType | None) -> None:
        first = not self.requested
        self._asked_at = self._asked_at or time.monotonic()
        if first:
            log.info("stop requested")
        if not self._deferred:
            raise Failure("interrupted", "The run was asked to stop before training began.")
