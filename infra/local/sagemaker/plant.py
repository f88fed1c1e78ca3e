"""What operations and running threads share: the store, the folders, the live children."""

import os
import threading
from pathlib import Path
from typing import Any, Protocol

from infra.local import emulator
from infra.local.options import REPOSITORY, Options
from infra.local.sagemaker.storage import Storage, role_client
from infra.local.sagemaker.store import Store


class Stoppable(Protocol):
    """A thread with a child: a training run or a component's server."""

    def stop(self) -> None: ...
    def interrupt(self) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def kill(self) -> None: ...


class Plant:
    """The machine's SageMaker: one per cloud."""

    def __init__(self, options: Options, store: Store) -> None:
        self.options = options
        self.store = store
        self._live: dict[str, Stoppable] = {}
        self._lock = threading.Lock()

    def folder(self, kind: str, name: str) -> Path:
        """Where a job or endpoint works; removed when it ends."""
        return self.options.sagemaker / kind / name

    def storage(self, role_arn: str, session_name: str) -> Storage:
        """S3 as the role sees it."""
        return Storage(self.client("s3", role_arn, session_name), self.options.sagemaker / "cache")

    def client(self, service: str, role_arn: str, session_name: str) -> Any:
        return role_client(service, self.options.aws_url, role_arn, session_name)

    def aws_environment(self, role_arn: str, session_name: str) -> dict[str, str]:
        """What gives a child the role's rights, as a container's credentials do."""
        session = emulator.role_session(role_arn, session_name, os.urandom(32).hex())
        return {**self.options.aws_environment(), **{name.upper(): value for name, value in session.items()}}

    def command(self, entrypoint: list[str], arguments: list[str]) -> list[str]:
        """The container's command on this machine: `python` is the trainer environment's."""
        program = str(self.options.trainer_python) if entrypoint[0] == "python" else entrypoint[0]
        return [program, *entrypoint[1:], *arguments]

    def child_environment(self, extra: dict[str, str], offline: bool) -> dict[str, str]:
        """What a container would see: its own variables, none of ours and no credentials."""
        sources = [REPOSITORY / "training_container", REPOSITORY / "layers" / "core" / "python"]
        isolated = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if offline else {}
        return {
            "HOME": str(self.options.temporary),
            "LANG": "C.UTF-8",
            "PATH": f"{self.options.trainer_python.parent}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": ":".join(map(str, sources)),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.options.temporary),
            **isolated,
            **extra,
        }

    def entered(self, key: str, thread: Stoppable) -> None:
        with self._lock:
            self._live[key] = thread

    def left(self, key: str) -> None:
        with self._lock:
            self._live.pop(key, None)

    def live(self, key: str) -> Stoppable | None:
        with self._lock:
            return self._live.get(key)

    def stop_training(self, name: str) -> None:
        run = self.live(f"training-job/{name}")
        if run:
            run.stop()

    def kill(self) -> None:
        """End every child at once."""
        with self._lock:
            threads = list(self._live.values())
        for thread in threads:
            thread.kill()

    def close(self, seconds: float) -> None:
        """End every child: interrupted jobs save a checkpoint within so many seconds, then all is killed."""
        with self._lock:
            threads = list(self._live.values())
        for thread in threads:
            thread.interrupt()
        for thread in threads:
            thread.join(seconds)
            thread.kill()
            thread.join(5)
