"""One training job from start to end: a thread that owns the job's child process."""

import contextlib
import errno
import json
import logging
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.sagemaker import events
from infra.local.sagemaker.checkpoints import CheckpointSync
from infra.local.sagemaker.child import Child
from infra.local.sagemaker.logs import LogStream
from infra.local.sagemaker.plant import Plant
from infra.local.sagemaker.storage import Storage
from infra.local.sagemaker.store import Record

logger = logging.getLogger(__name__)
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
# What SageMaker leaves a container between SIGTERM and SIGKILL.
GRACE_SECONDS = 120.0
# The value is the number of seconds of training after which the instance is "lost".
INTERRUPT_TAG = "luthier-local:interrupt-after-seconds"
_LOOK_SECONDS = 0.25
_SYNC_SECONDS = 2.0
_REASON_LENGTH = 1024
INTERRUPTED = json.dumps(
    {
        "code": "interrupted",
        "message": "The machine that ran this training job went away before it ended.",
        "hint": "Restart the job; `resumable` says from which checkpoint it continues.",
    }
)


@dataclass(frozen=True)
class Ending:
    """How a job ended, in SageMaker's words."""

    status: str
    secondary: str
    message: str
    failure: str | None = None

    @property
    def keeps_model(self) -> bool:
        return self.status in ("Completed", "Stopped")


_COMPLETED = Ending("Completed", "Completed", "Training job completed")
_STOPPED = Ending("Stopped", "Stopped", "Training job stopped")
_EXPIRED = Ending("Stopped", "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds provided")


def failed(reason: str) -> Ending:
    return Ending("Failed", "Failed", "Training job failed", reason[:_REASON_LENGTH])


class TrainingRun(threading.Thread):
    """Downloads, trains, syncs, uploads, settles. Ends with the record in a final status, whatever happens."""

    def __init__(self, plant: Plant, name: str) -> None:
        super().__init__(name=f"training-{name}", daemon=True)
        self._plant = plant
        self._name_of_job = name
        self._key = f"training-job/{name}"
        self._root = plant.folder("jobs", name)
        record = plant.store.get("training-job", name)
        assert record is not None
        self._job: Record = record
        self._wanted: Ending | None = None
        self._child: Child | None = None
        plant.entered(self._key, self)

    def stop(self) -> None:
        """The job shall end Stopped."""
        self._want(_STOPPED)
        self._enter("Stopping", "Stopping the training job", status="Stopping")

    def interrupt(self) -> None:
        """The machine goes away: the job shall end Failed and resumable."""
        self._want(failed(f"AlgorithmError: {INTERRUPTED}, exit code: 137"))

    def kill(self) -> None:
        """End the child now, if it still runs."""
        if self._child and self._child.poll() is None:
            self._child.kill()

    def _want(self, ending: Ending) -> None:
        self._wanted = self._wanted or ending

    def run(self) -> None:
        started = time.time()
        try:
            ending = self._train()
        except (ClientError, BotoCoreError, Boto3Error) as error:
            ending = failed(f"ClientError: {error}")
        except OSError as error:
            ending = failed(_machine_failure(error))
        except Exception as error:
            logger.exception("The run of %s broke off.", self._name_of_job)
            ending = failed(f"InternalServerError: {error!r}")
        self._settle(ending, started)
        shutil.rmtree(self._root, ignore_errors=True)
        self._plant.left(self._key)

    def _train(self) -> Ending:
        storage = self._plant.storage(self._job["RoleArn"], self._name_of_job)
        self._enter("Starting", "Preparing the instances for training")
        self._enter("Downloading", "Downloading input data")
        _lay_out(self._root, self._job)
        if problem := self._download(storage):
            return problem
        sync = self._checkpoints(storage)
        if self._wanted is None:
            self._enter("Training", "Training image download completed. Training in progress.")
            code = self._run_child(sync)
        ending = self._wanted or (_COMPLETED if code == 0 else failed(_failure_reason(self._root, code)))
        if ending.keeps_model:
            self._upload(storage)
        return ending

    def _download(self, storage: Storage) -> Ending | None:
        for channel in self._job.get("InputDataConfig", []):
            name, uri = channel["ChannelName"], channel["DataSource"]["S3DataSource"]["S3Uri"]
            folder = self._root / "input" / "data" / name
            if not storage.download(uri, folder, cached=name == "model"):
                return failed(f"ClientError: Data download failed:No S3 objects found under S3 URL {uri!r}.")
        return None

    def _checkpoints(self, storage: Storage) -> CheckpointSync | None:
        config = self._job.get("CheckpointConfig")
        if not config:
            return None
        sync = CheckpointSync(storage, self._root / "checkpoints", config["S3Uri"], self._kms_key())
        sync.restore()
        return sync

    def _kms_key(self) -> str | None:
        return self._job["OutputDataConfig"].get("KmsKeyId") or None

    def _run_child(self, sync: CheckpointSync | None) -> int:
        logs = LogStream(
            self._plant.client("logs", self._job["RoleArn"], self._name_of_job),
            LOG_GROUP,
            f"{self._name_of_job}/algo-1-{int(time.time())}",
        )
        self._child = Child(self._command(), self._environment(), self._root, logs.write)
        try:
            return self._watch(self._child, sync)
        finally:
            self._child.kill()
            self._child.drain()
            logs.close()
            if sync:
                sync.sync(final=True)

    def _command(self) -> list[str]:
        algorithm = self._job["AlgorithmSpecification"]
        entrypoint = algorithm.get("ContainerEntrypoint") or ["python", "-m", "trainer.train"]
        arguments = [*algorithm.get("ContainerArguments", []), "--root", str(self._root)]
        return self._plant.command(entrypoint, arguments)

    def _environment(self) -> dict[str, str]:
        isolated = self._job.get("EnableNetworkIsolation", False)
        own = {
            "TRAINING_JOB_NAME": self._name_of_job,
            "TRAINING_JOB_ARN": self._job["TrainingJobArn"],
            **self._job.get("Environment", {}),
        }
        # An isolated container cannot reach AWS, so credentials would be of no use to it.
        aws = {} if isolated else self._plant.aws_environment(self._job["RoleArn"], self._name_of_job)
        return self._plant.child_environment({**aws, **own}, offline=isolated)

    def _watch(self, child: Child, sync: CheckpointSync | None) -> int:
        started = synced = time.monotonic()
        deadline: float | None = None
        limit = self._job["StoppingCondition"].get("MaxRuntimeInSeconds", 86400)
        while (code := child.wait(_LOOK_SECONDS)) is None:
            now = time.monotonic()
            if now - started > limit:
                self._want(_EXPIRED)
            if now - started > self._lost_after():
                self.interrupt()
            if self._wanted and deadline is None:
                deadline = now + GRACE_SECONDS
                child.terminate()
            elif deadline is not None and now > deadline:
                child.kill()
            if sync and now - synced > _SYNC_SECONDS:
                sync.sync()
                synced = time.monotonic()
        return code

    def _lost_after(self) -> float:
        tags = self._plant.store.tags(self._job["TrainingJobArn"]) or {}
        return float(tags.get(INTERRUPT_TAG, "inf"))

    def _upload(self, storage: Storage) -> None:
        self._enter("Uploading", "Uploading generated training model")
        base = f"{self._job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self._name_of_job}/output"
        storage.upload_folder(self._root / "model", f"{base}/model", self._kms_key())
        self._plant.store.update(
            "training-job", self._name_of_job, ModelArtifacts={"S3ModelArtifacts": f"{base}/model/"}
        )

    def _enter(self, secondary: str, message: str, status: str | None = None, **changes: Any) -> None:
        """Record a change of status and publish it."""
        job = self._plant.store.get("training-job", self._name_of_job)
        if job is None:
            return
        now = time.time()
        transitions = job["SecondaryStatusTransitions"]
        if transitions:
            transitions[-1].setdefault("EndTime", now)
        transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
        changed = self._plant.store.update(
            "training-job", self._name_of_job, SecondaryStatus=secondary, SecondaryStatusTransitions=transitions,
            **({"TrainingJobStatus": status} if status else {}), **changes,
        )  # fmt: skip
        if changed:
            events.publish(changed)

    def _settle(self, ending: Ending, started: float) -> None:
        now = time.time()
        seconds = max(1, int(now - started))
        reason = {"FailureReason": ending.failure} if ending.failure else {}
        self._enter(
            ending.secondary, ending.message, status=ending.status, TrainingStartTime=started, TrainingEndTime=now,
            TrainingTimeInSeconds=seconds, BillableTimeInSeconds=seconds, **reason,
        )  # fmt: skip


def _lay_out(root: Path, job: Record) -> None:
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("input/config", "input/data", "checkpoints", "model", "output/data"):
        (root / folder).mkdir(parents=True)
    written = {
        "hyperparameters": job.get("HyperParameters", {}),
        "inputdataconfig": {channel["ChannelName"]: channel for channel in job.get("InputDataConfig", [])},
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "lo"},
    }
    for name, content in written.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _failure_reason(root: Path, code: int) -> str:
    written = ""
    with contextlib.suppress(OSError):
        written = (root / "output" / "failure").read_text(encoding="utf-8", errors="replace").strip()
    tail = f", exit code: {code}"
    return f"AlgorithmError: {written}"[: _REASON_LENGTH - len(tail)] + tail


def _machine_failure(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "ClientError: Please use an instance type with more disk: no space left on this machine."
    return f"InternalServerError: {error}"
