"""The programs that a start runs one after the other; the one that runs can be cut short."""

import contextlib
import os
import signal
import subprocess
import threading
from dataclasses import dataclass

from infra.local.options import REPOSITORY
from infra.local.preflight import Refusal


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    code: int
    output: str
    complaints: str

    @property
    def last_complaint(self) -> str:
        """The line that says what went wrong."""
        return ([*self.complaints.strip().splitlines()] or [f"it ended with exit code {self.code}"])[-1]


class Commands:
    """Runs programs in the repository, each in a session of its own so that Ctrl-C reaches only the launcher."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = False

    def run(self, command: list[str], environment: dict[str, str]) -> Done:
        """Wait for the program's end. Raises Refusal once `cancel` was called."""
        with self._lock:
            self._refuse_when_cancelled()
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
        output, complaints = self._process.communicate()
        self._refuse_when_cancelled()
        return Done(self._process.returncode, output, complaints)

    def _refuse_when_cancelled(self) -> None:
        if self._cancelled:
            raise Refusal("Stopped while starting.")

    def cancel(self) -> None:
        """End the running program and let no other begin."""
        with self._lock:
            self._cancelled = True
            if self._process and self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
