"""Child processes that never outlive the cloud.

Run as a script (`python child.py -- command…`) this file asks the kernel to kill the process when its parent dies,
then becomes the command. Imported, it starts such children. The thread that starts a child must live as long as the
child does: the kernel counts the death of the starting thread as the death of the parent.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1


class Child:
    """One child in its own process group; its output lines go to `on_line`."""

    def __init__(
        self, command: list[str], environment: dict[str, str] | None, cwd: Path, on_line: Callable[[str], None]
    ):
        tied = [sys.executable, "-S", "-E", __file__, str(os.getpid()), *command]
        self._process = subprocess.Popen(
            tied, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._pump = threading.Thread(target=self._read, args=(on_line,), daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self, on_line: Callable[[str], None]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for raw in output:
                for line in raw.decode("utf-8", errors="replace").replace("\r", "\n").splitlines():
                    if line.strip():
                        on_line(line.rstrip())

    def poll(self) -> int | None:
        """The exit code, None while it runs; a signal's number counts from 128 as in a shell."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None when it still runs after so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.poll()

    def drain(self) -> None:
        """Wait until its last lines were read."""
        self._pump.join(timeout=5)

    def terminate(self) -> None:
        """Ask the whole group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole group now and reap it."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _die_with_parent(parent: int) -> None:
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


if __name__ == "__main__":
    _die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
