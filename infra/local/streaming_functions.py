"""The functions that stream, each as the server that the Lambda Web Adapter would start: under its own role, with its
own environment and log group.

The emulator has neither the adapter nor integrations that stream; it runs these functions whole.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from infra import catalog
from infra.build_deps import BUILD
from infra.local.options import REPOSITORY
from infra.local.sagemaker.child import Child
from infra.local.sagemaker.logs import LogStream
from infra.local.sagemaker.plant import Plant
from infra.local.sockets import answers, free_port
from infra.rows import Function

_LOOK_SECONDS = 0.2
_START_SECONDS = 60.0
ROWS = tuple(row for row in catalog.API if row.streams)


class StreamingFunction(threading.Thread):
    """One function's server: started when it is first asked, and anew when it has died."""

    def __init__(self, plant: Plant, row: Function, configuration: dict[str, Any]) -> None:
        super().__init__(name=f"function-{row.name}", daemon=True)
        self._plant = plant
        self._row = row
        self._configuration = configuration
        self._asked, self._ended = threading.Event(), threading.Event()
        self._child: Child | None = None
        self._port = 0
        plant.entered(f"function/{row.name}", self)

    def address(self) -> str:
        """Where its server listens. Raises TimeoutError when it does not come up."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and not self._ended.is_set():
            if self._port and answers(self._port):
                return f"http://127.0.0.1:{self._port}"
            self._asked.set()
            time.sleep(0.05)
        raise TimeoutError(f"The function {self._row.name} does not start.")

    def run(self) -> None:
        role, name = self._configuration["Role"], self._configuration["FunctionName"]
        logs = LogStream(self._plant.client("logs", role, name), f"/aws/lambda/{name}", f"{int(time.time())}")
        while not self._ended.is_set():
            if self._asked.wait(_LOOK_SECONDS):
                self._serve(role, name, logs)
        logs.close()

    def _serve(self, role: str, name: str, logs: LogStream) -> None:
        """One life of the server."""
        self._asked.clear()
        self._port = free_port()
        command = [sys.executable, "-m", "functions.api.server", self._row.name, "--port", str(self._port)]
        self._child = Child(command, self._environment(role, name), REPOSITORY, logs.write)
        while self._child.poll() is None and not self._ended.wait(_LOOK_SECONDS):
            pass
        self._port = 0
        self._child.kill()
        self._child.drain()

    def _environment(self, role: str, name: str) -> dict[str, str]:
        sources = [BUILD / "local" / "python", REPOSITORY / "layers" / "core" / "python", REPOSITORY]
        return {
            **self._plant.aws_environment(role, name),
            **self._configuration["Environment"]["Variables"],
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": ":".join(map(str, sources)),
            "PYTHONUNBUFFERED": "1",
        }

    def stop(self) -> None:
        self._ended.set()

    def interrupt(self) -> None:
        self.stop()

    def kill(self) -> None:
        self._ended.set()
        if self._child and self._child.poll() is None:
            self._child.kill()


def start(plant: Plant, client: Callable[[str], Any]) -> dict[str, StreamingFunction]:
    """Those of the deployed stack, by the paths that lead to them."""
    deployed = {
        function["Handler"]: function
        for page in client("lambda").get_paginator("list_functions").paginate()
        for function in page["Functions"]
    }
    found = {}
    for row in ROWS:
        function = StreamingFunction(plant, row, deployed[row.handler])
        function.start()
        found.update(dict.fromkeys(row.routes, function))
    return found
