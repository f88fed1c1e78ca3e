"""One endpoint's server: a thread that owns the serving child."""

import shutil
import socket
import threading
import time
from typing import Any
from urllib import error, request

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.sagemaker.child import Child
from infra.local.sagemaker.logs import LogStream
from infra.local.sagemaker.plant import Plant

# SageMaker gives a container this long to answer its first ping unless told otherwise.
STARTUP_SECONDS = 480.0
_LOOK_SECONDS = 0.2
# A server that dies more often than this is broken, not unlucky.
_RESTARTS = 3
_UNHEALTHY = "The primary container for production variant AllTraffic did not pass the ping health check."


class EndpointRun(threading.Thread):
    """Downloads the model, starts its server, keeps it alive until stopped."""

    def __init__(self, plant: Plant, name: str, model: dict[str, Any]) -> None:
        super().__init__(name=f"endpoint-{name}", daemon=True)
        self._plant = plant
        self._endpoint = name
        self._model = model
        self._root = plant.folder("endpoints", name)
        self._ended = threading.Event()
        self._child: Child | None = None
        self.port = 0
        plant.entered(f"endpoint/{name}", self)

    def stop(self) -> None:
        """End the server for good."""
        self._ended.set()

    def interrupt(self) -> None:
        """End the server; the record stays InService, so the next start of the cloud brings it back."""
        self._ended.set()

    def kill(self) -> None:
        if self._child and self._child.poll() is None:
            self._child.kill()

    def run(self) -> None:
        logs = self._logs()
        try:
            self._download()
            for _ in range(1 + _RESTARTS):
                self._serve(logs)
                if self._ended.is_set():
                    break
            else:
                self._change(
                    "Failed", "The primary container for production variant did not pass the ping health check."
                )
        except (ClientError, BotoCoreError, OSError) as failure:
            self._change("Failed", f"Failed to download model data or start the container: {failure}")
        finally:
            logs.close()
            shutil.rmtree(self._root, ignore_errors=True)
            self._plant.left(f"endpoint/{self._endpoint}")

    def _logs(self) -> LogStream:
        client = self._plant.client("logs", self._model["ExecutionRoleArn"], self._endpoint)
        return LogStream(client, f"/aws/sagemaker/Endpoints/{self._endpoint}", f"AllTraffic/{int(time.time())}")

    def _container(self) -> dict[str, Any]:
        return self._model.get("PrimaryContainer") or self._model["Containers"][0]

    def _download(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        storage = self._plant.storage(self._model["ExecutionRoleArn"], self._endpoint)
        container = self._container()
        sources = [("model", container["ModelDataSource"])]
        for extra in container.get("AdditionalModelDataSources", []):
            sources.append((f"additional-model-data-sources/{extra['ChannelName']}", extra))
        for folder, source in sources:
            uri = source["S3DataSource"]["S3Uri"]
            if not storage.download(uri, self._root / folder, cached=folder == "model"):
                raise FileNotFoundError(f"no S3 objects under {uri}")

    def _serve(self, logs: LogStream) -> None:
        """One life of the server: returns when it died or was told to end."""
        self.port = _free_port()
        arguments = ["--root", str(self._root), "--port", str(self.port)]
        environment = self._plant.child_environment(self._container().get("Environment", {}), offline=True)
        command = self._plant.command(["python", "-m", "trainer.serve"], arguments)
        self._child = Child(command, environment, self._root, logs.write)
        try:
            if self._answers(self._child):
                self._change("InService")
                while self._child.poll() is None and not self._ended.wait(_LOOK_SECONDS):
                    pass
        finally:
            self._child.terminate()
            if self._child.wait(5) is None:
                self._child.kill()
            self._child.drain()

    def _answers(self, child: Child) -> bool:
        deadline = time.monotonic() + STARTUP_SECONDS
        while child.poll() is None and time.monotonic() < deadline and not self._ended.wait(_LOOK_SECONDS):
            try:
                with request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=2) as answer:
                    if answer.status == 200:
                        return True
            except (error.URLError, OSError):
                continue
        return False

    def _change(self, status: str, reason: str | None = None) -> None:
        changes = {"FailureReason": reason[:1024]} if reason else {}
        self._plant.store.update("endpoint", self._endpoint, EndpointStatus=status, **changes)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
