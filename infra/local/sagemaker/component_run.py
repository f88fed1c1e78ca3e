"""One inference component's server: a thread that owns the serving child and keeps its adapters as declared.

One process serves a component whatever its number of copies from one up: this is one machine. With none it ends.
"""

import json
import shutil
import threading
import time
from collections import deque
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib import error, request

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.sagemaker.child import Child
from infra.local.sagemaker.logs import LogStream
from infra.local.sagemaker.plant import Plant
from infra.local.sagemaker.storage import Storage
from infra.local.sagemaker.store import Record
from infra.local.sockets import free_port

KIND = "inference-component"
# SageMaker gives a container this long to answer its first ping unless told otherwise.
STARTUP_SECONDS = 480.0
_LOOK_SECONDS = 0.2
_ADAPTER_SECONDS = 60
# A server that dies more often than this in ten minutes is broken, not unlucky.
_RESTARTS, _RESTARTS_SECONDS = 3, 600.0
_UNHEALTHY = "The container of the inference component did not pass the ping health check."


def base_of(record: Record) -> str | None:
    """The component that an adapter component stands on; None for a component with weights of its own."""
    name: str | None = record["Specification"].get("BaseInferenceComponentName")
    return name


class ComponentRun(threading.Thread):
    """Downloads the model, starts its server, declares its adapters to it, keeps it alive until stopped."""

    def __init__(self, plant: Plant, name: str, model: Record, role: str) -> None:
        super().__init__(name=f"component-{name}", daemon=True)
        self._plant = plant
        self._component = name
        self._model = model
        self._role = role
        self._root = plant.folder("components", name)
        self._ended = threading.Event()
        self._changed = threading.Event()
        self._child: Child | None = None
        self._port = 0
        self._ready = False
        self.used_at = time.monotonic()
        plant.entered(f"component/{name}", self)

    @property
    def address(self) -> str | None:
        """Where requests go; None while the server or its adapters are not there yet."""
        return f"http://127.0.0.1:{self._port}" if self._ready else None

    def adapters_changed(self) -> None:
        """Some adapter of this component was declared or is to go."""
        self._changed.set()

    @property
    def is_ending(self) -> bool:
        return self._ended.is_set()

    def stop(self) -> None:
        """End the server for good."""
        self._ended.set()
        self._changed.set()

    def interrupt(self) -> None:
        """End the server; the record stays, so the next start of the cloud brings it back."""
        self.stop()

    def kill(self) -> None:
        if self._child and self._child.poll() is None:
            self._child.kill()

    def run(self) -> None:
        logs = self._logs()
        try:
            self._download()
            deaths: deque[float] = deque(maxlen=1 + _RESTARTS)
            while not self._ended.is_set():
                self._serve(logs)
                deaths.append(time.monotonic())
                if len(deaths) > _RESTARTS and deaths[-1] - deaths[0] < _RESTARTS_SECONDS and not self._ended.is_set():
                    self._change("Failed", _UNHEALTHY)
                    break
        except (ClientError, BotoCoreError, OSError) as failure:
            self._change("Failed", f"Failed to download model data or start the container: {failure}")
        finally:
            self._ready = False
            logs.close()
            shutil.rmtree(self._root, ignore_errors=True)
            self._plant.left(f"component/{self._component}")

    def _logs(self) -> LogStream:
        client = self._plant.client("logs", self._role, self._component)
        return LogStream(client, f"/aws/sagemaker/InferenceComponents/{self._component}", f"main/{int(time.time())}")

    def _storage(self) -> Storage:
        return self._plant.storage(self._role, self._component)

    def _container(self) -> dict[str, Any]:
        container: dict[str, Any] = self._model.get("PrimaryContainer") or self._model["Containers"][0]
        return container

    def _download(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        uri = self._container()["ModelDataSource"]["S3DataSource"]["S3Uri"]
        if not self._storage().download(uri, self._root / "model", cached=True):
            raise FileNotFoundError(f"no S3 objects under {uri}")

    def _serve(self, logs: LogStream) -> None:
        """One life of the server: returns when it died or was told to end."""
        self._port = free_port()
        arguments = ["--root", str(self._root), "--port", str(self._port)]
        environment = self._plant.child_environment(self._container().get("Environment", {}), offline=True)
        command = self._plant.command(["python", "-m", "trainer.serve"], arguments)
        self._child = Child(command, environment, self._root, logs.write)
        try:
            if self._answers(self._child):
                self._reconcile()
                self.used_at = time.monotonic()
                self._ready = True
                self._change("InService")
                while self._child.poll() is None and not self._ended.is_set():
                    if self._changed.wait(_LOOK_SECONDS):
                        self._changed.clear()
                        self._reconcile()
        finally:
            self._ready = False
            self._child.terminate()
            if self._child.wait(5) is None:
                self._child.kill()
            self._child.drain()

    def _answers(self, child: Child) -> bool:
        deadline = time.monotonic() + STARTUP_SECONDS
        while child.poll() is None and time.monotonic() < deadline and not self._ended.wait(_LOOK_SECONDS):
            try:
                with request.urlopen(f"http://127.0.0.1:{self._port}/ping", timeout=2) as answer:
                    if answer.status == HTTPStatus.OK:
                        return True
            except (error.URLError, OSError):
                continue
        return False

    def _reconcile(self) -> None:
        """Give the server the adapters that are declared, and take those from it that are not any more."""
        declared = {
            record[_NAME]: record for record in self._plant.store.all(KIND) if base_of(record) == self._component
        }
        try:
            loaded = {row["name"] for row in self._call("GET", "/adapters")["adapters"]}
            for name, record in declared.items():
                if record[_STATUS] == "Deleting":
                    if name in loaded:
                        self._call("DELETE", f"/adapters/{name}")
                    self._plant.store.remove(KIND, name)
                elif name not in loaded and record[_STATUS] != "Failed":
                    self._add(name, record)
            for name in loaded - set(declared):
                self._call("DELETE", f"/adapters/{name}")
        except OSError:
            # It died on the way; its next life begins with all of them.
            return

    def _add(self, name: str, record: Record) -> None:
        try:
            archive = self._fetched(name, record["Specification"]["Container"]["ArtifactUrl"])
            self._call("POST", "/adapters", {"name": name, "src": str(archive)})
        except error.HTTPError as refusal:
            self._plant.store.update(KIND, name, **{_STATUS: "Failed"}, FailureReason=_said(refusal)[:1024])
        except (ClientError, BotoCoreError, FileNotFoundError) as failure:
            reason = f"Failed to download the adapter: {failure}"
            self._plant.store.update(KIND, name, **{_STATUS: "Failed"}, FailureReason=reason[:1024])
        else:
            self._plant.store.update(KIND, name, **{_STATUS: "InService"})

    def _fetched(self, name: str, uri: str) -> Path:
        folder = self._root / "archives" / name
        found = next(iter(folder.glob("*")), None)
        if found is None:
            if not self._storage().download(uri, folder):
                raise FileNotFoundError(f"no S3 object {uri}")
            found = next(iter(folder.glob("*")))
        return found

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        call = request.Request(f"http://127.0.0.1:{self._port}{path}", data=data, method=method)
        with request.urlopen(call, timeout=_ADAPTER_SECONDS) as answer:
            return dict(json.loads(answer.read()))

    def _change(self, status: str, reason: str | None = None) -> None:
        changes: dict[str, Any] = {"FailureReason": reason[:1024]} if reason else {}
        record = self._plant.store.get(KIND, self._component)
        if record is None or record[_STATUS] == "Deleting":
            return
        copies = record["RuntimeConfig"]["DesiredCopyCount"] if status == "InService" else 0
        changes["RuntimeConfig"] = record["RuntimeConfig"] | {"CurrentCopyCount": copies}
        self._plant.store.update(KIND, self._component, **{_STATUS: status}, **changes)


_NAME, _STATUS = "InferenceComponentName", "InferenceComponentStatus"


def _said(refusal: error.HTTPError) -> str:
    text = refusal.read().decode("utf-8", errors="replace")
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text
