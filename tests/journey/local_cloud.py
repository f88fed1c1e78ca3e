"""A local cloud under test: starts it, kills it, talks to it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import httpx

from infra.local.options import REPOSITORY
from infra.local.seed import read_env

# Taken now: tests run without the variables of the machine they run on.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
_START_SECONDS = 180.0
MODEL = "tiny-llama-test"


class LocalCloud:
    """One cloud with its own state folder and ports.

    Args:
        state_dir: kept between starts, as a user's would be.
        hub_url: where it copies base models from.
    """

    def __init__(self, state_dir: Path, hub_url: str = "http://127.0.0.1:9") -> None:
        self.state_dir = state_dir
        self.hub_url = hub_url
        self.port, self.aws_port = free_port(), free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        output = self.state_dir / "terminal.log"
        output.touch()
        before = output.stat().st_size
        with output.open("a", encoding="utf-8") as terminal:
            self._process = subprocess.Popen(
                self.command("up"),
                cwd=REPOSITORY,
                env=ENVIRONMENT,
                stdout=terminal,
                stderr=subprocess.STDOUT,
                text=True,
            )
        until = time.monotonic() + _START_SECONDS
        while "Ready after" not in (said := output.read_bytes()[before:].decode()):
            assert self._process.poll() is None, f"The cloud did not start:\n{said}"
            assert time.monotonic() < until, f"The cloud is not ready:\n{said}"
            time.sleep(0.1)

    def command(self, name: str) -> list[str]:
        """The command line of this cloud's `up`, `stop` or `status`."""
        return [
            sys.executable, "-m", "infra.local", name, "--state-dir", str(self.state_dir), "--port", str(self.port),
            "--aws-port", str(self.aws_port), "--base-model", "tiny", "--wait-scale", "0.02",
            "--hub-url", self.hub_url,
        ]  # fmt: skip

    def stop(self) -> None:
        """As Ctrl-C does. A function that is at work may hold it up for as long as it may run, which is a minute."""
        self._end(signal.SIGINT, 150)

    def kill(self) -> None:
        """As a power cut does, as far as the programs can tell: every process of it dies at once."""
        for pid in [*self.children(), self.pid]:
            os.kill(pid, signal.SIGKILL)
        self._end(signal.SIGKILL, 10)

    def _end(self, number: int, seconds: float) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(seconds)

    def children(self) -> list[int]:
        """The processes that the cloud has started and that still run."""
        found: list[int] = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # its thread has just ended
                found += map(int, (task / "children").read_text().split())
        return found

    def servers(self, endpoint: str = "") -> list[int]:
        """The processes that serve models; of one endpoint or component."""
        found = []
        for pid in self.children():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                command = Path(f"/proc/{pid}/cmdline").read_text()
                if "trainer.serve" in command and endpoint in command:
                    found.append(pid)
        return found

    def copy_state(self, folder: Path) -> None:
        """Copy what it keeps; it may be running, for what lies on its disk is whole at any moment."""
        shutil.copytree(self.state_dir, folder, ignore=shutil.ignore_patterns("tmp", "lock", "*.log"))

    def take_state(self, folder: Path) -> None:
        """Begin with a copy of another cloud's state."""
        shutil.copytree(folder, self.state_dir)

    def move_base_model(self, folder: Path) -> None:
        """Take the seeded model out of its bucket, into a folder, without the manifest."""
        s3, bucket = self.aws("s3"), self.environment["LUTHIER_BASE_MODELS_BUCKET"]
        for item in s3.list_objects_v2(Bucket=bucket, Prefix=f"{MODEL}/").get("Contents", []):
            name = item["Key"].rpartition("/")[2]
            if name != "manifest.json":
                s3.download_file(bucket, item["Key"], str(folder / name))
            s3.delete_object(Bucket=bucket, Key=item["Key"])

    @property
    def environment(self) -> dict[str, str]:
        return read_env(self.state_dir / "env")

    def http(self) -> httpx.Client:
        """The API as a customer sees it."""
        key = {"Authorization": f"Bearer {self.environment['LUTHIER_API_KEY']}"}
        return httpx.Client(base_url=self.environment["LUTHIER_BASE_URL"], headers=key, timeout=60)

    def aws(self, service: str) -> Any:
        """The AWS services behind it, as their root user."""
        given = self.environment
        return boto3.client(
            service, endpoint_url=given["AWS_ENDPOINT_URL"], region_name=given["AWS_REGION"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"], aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip


def wait_for(look: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true answer of `look`; fails with `what` and the last answer when there is none in time."""
    until = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < until, f"Not within {seconds:.0f} s: {what}. Last answer: {answer!r}"
        time.sleep(0.4)
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
