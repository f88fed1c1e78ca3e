"""The S3 objects of a job: what the container reads, and what it leaves behind."""

import json
import re
from collections.abc import Iterator
from typing import Any

from luthier import clock, objects
from luthier.errors import NotFound
from luthier.jobs import budget
from luthier.jobs.entity import Job
from luthier.settings import Settings

_CHECKPOINT = re.compile(r"/checkpoint-(\d+)/")
# What the container writes into a checkpoint last.
_WHOLE = "complete.json"


class JobStorage:
    def __init__(self, s3: Any, settings: Settings) -> None:
        self._s3 = s3
        self._settings = settings

    def rows_at(self, job: Job, channel: str, name: str) -> tuple[str, str]:
        """Bucket and key from which this attempt's channel reads the rows of a file."""
        return self._settings.data_bucket, f"{_attempt(job)}/{channel}/{name}"

    def write_config(self, job: Job, base_model_id: str, revision: str, price_per_second: float) -> None:
        """Write the job config that the container validates before it loads anything."""
        self._s3.put_object(
            Bucket=self._settings.data_bucket,
            Key=f"{_attempt(job)}/config/job.json",
            Body=json.dumps(_config(job, base_model_id, revision, price_per_second), indent=2).encode(),
        )

    def write_results(self, key: str, content: bytes, content_type: str) -> None:
        """Store the content of a file that a completed job leaves."""
        self._s3.put_object(Bucket=self._settings.data_bucket, Key=key, Body=content, ContentType=content_type)

    def wandb_run(self, job: Job) -> bytes | None:
        """The offline run of Weights & Biases that the run has left, a .tar.gz of some kilobytes."""
        try:
            key = f"{_series(job)}/wandb.tar.gz"
            answer = self._s3.get_object(Bucket=self._settings.artifacts_bucket, Key=key)
        except self._s3.exceptions.NoSuchKey:
            return None
        return answer["Body"].read()

    def launch(self, job: Job, model_uri: str) -> dict[str, Any]:
        """The places that CreateTrainingJob names for this attempt."""
        data = f"s3://{self._settings.data_bucket}/{_attempt(job)}"
        artifacts = f"s3://{self._settings.artifacts_bucket}/{_job(job)}"
        channels = {"config": f"{data}/config/", "model": model_uri, "train": f"{data}/train/"}
        if job.validation_dataset:
            channels["validation"] = f"{data}/validation/"
        if job.start_from:
            channels["adapter"] = f"{job.start_from['artifact_uri'].rstrip('/')}/"
        return {
            "job_config_uri": f"{data}/config/job.json",
            "channels": [_channel(name, uri) for name, uri in channels.items()],
            "checkpoint_uri": f"{artifacts}/checkpoints/{job.series}/",
            "output_uri": f"{artifacts}/output/",
        }

    def read_card(self, artifact_uri: str) -> dict[str, Any]:
        """The model card beside the finished adapter. Raises NotFound when the run left none."""
        bucket, _, key = artifact_uri.removeprefix("s3://").partition("/")
        try:
            answer = self._s3.get_object(Bucket=bucket, Key=f"{key.rstrip('/')}/model_card.json")
        except self._s3.exceptions.NoSuchKey as error:
            raise NotFound(
                "The training job completed but left no model card.",
                code="artifact_missing",
                remedy="Restart the job; its logs say what happened at the end of the run.",
            ) from error
        return json.loads(answer["Body"].read())

    def metrics(self, job: Job) -> list[dict[str, Any]]:
        """The lines of the trainer's metrics.jsonl so far; empty before the first one."""
        try:
            answer = self._s3.get_object(Bucket=self._settings.artifacts_bucket, Key=f"{_series(job)}/metrics.jsonl")
        except self._s3.exceptions.NoSuchKey:
            return []
        # The last line may be half written: the file is copied while the trainer appends to it.
        return list(_whole_lines(answer["Body"].read()))

    def result(self, job: Job) -> dict[str, Any] | None:
        """How this attempt's run says that it ended: {attempt, ended, step, total_steps}; None if it does not."""
        return self._said(job, "result.json")

    def failure(self, job: Job) -> dict[str, Any] | None:
        """Why this attempt's run says that it failed: {attempt, code, message, hint, evidence, suggestion, …}; None
        if it does not.
        """
        return self._said(job, "failure.json")

    def _said(self, job: Job, name: str) -> dict[str, Any] | None:
        """A file of the container beside its checkpoints, unless an earlier attempt has left it."""
        try:
            answer = self._s3.get_object(Bucket=self._settings.artifacts_bucket, Key=f"{_series(job)}/{name}")
            said = json.loads(answer["Body"].read())
        except (self._s3.exceptions.NoSuchKey, ValueError):
            return None
        return said if isinstance(said, dict) and said.get("attempt") == job.attempt else None

    def remove(self, job: Job) -> None:
        """Delete the job's rows, configs, metrics and checkpoints, and its output unless that became a model."""
        data, artifacts = self._settings.data_bucket, self._settings.artifacts_bucket
        objects.delete_under(self._s3, data, f"{_job(job)}/")
        objects.delete_under(self._s3, artifacts, f"{_job(job)}/checkpoints/")
        if job.result_model is None:
            objects.delete_under(self._s3, artifacts, f"{_job(job)}/output/")

    def checkpoints(self, job: Job) -> list[tuple[int, str, int, str]]:
        """(step, S3 prefix, bytes, when it was whole) of each whole checkpoint of this series."""
        bucket = self._settings.artifacts_bucket
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{_series(job)}/checkpoint-")
        sizes: dict[str, int] = {}
        whole: dict[str, str] = {}
        for entry in (entry for page in pages for entry in page.get("Contents", [])):
            folder, _, name = entry["Key"].rpartition("/")
            sizes[folder] = sizes.get(folder, 0) + entry["Size"]
            if name == _WHOLE:
                whole[folder] = clock.iso(entry["LastModified"])
        return [
            (int(found.group(1)), f"s3://{bucket}/{folder}/", sizes[folder], moment)
            for folder, moment in whole.items()
            if (found := _CHECKPOINT.search(f"{folder}/"))
        ]

    def last_checkpoint(self, job: Job) -> int | None:
        """The step of the newest checkpoint of this series, None without one."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._settings.artifacts_bucket, Prefix=f"{_series(job)}/checkpoint-"
        )
        keys = (entry["Key"] for page in pages for entry in page.get("Contents", []))
        steps = [int(found.group(1)) for key in keys if (found := _CHECKPOINT.search(key))]
        return max(steps, default=None)


def owner_of(key: str) -> tuple[str, str] | None:
    """(organization, job id) of an object of a job, from its key or URI; None for any other object."""
    found = re.search(r"(?:^|/)([^/]+)/jobs/([^/]+)/", key.removeprefix("s3://"))
    return (found.group(1), found.group(2)) if found else None


def _job(job: Job) -> str:
    return f"{job.organization_id}/jobs/{job.id}"


def _attempt(job: Job) -> str:
    return f"{_job(job)}/{job.attempt}"


def _series(job: Job) -> str:
    return f"{_job(job)}/checkpoints/{job.series}"


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def _config(job: Job, base_model_id: str, revision: str, price_per_second: float) -> dict[str, Any]:
    given = job.hyperparameters
    return {
        "version": 1,
        "organization_id": job.organization_id,
        "job_id": job.id,
        "attempt": job.attempt,
        "method": job.method,
        "seed": given["seed"],
        "base_model": {"id": base_model_id, "revision": revision},
        "start_from": {"model": job.start_from["model"]} if job.start_from else None,
        "hyperparameters": {name: value for name, value in given.items() if name != "seed"},
        "evaluation": job.evaluation,
        "exports": job.exports,
        "limits": {"max_seconds": None, "max_cost": budget.container_cap(job), "price_per_second": price_per_second},
        "data": {
            "weights": {file.name: file.weight for file in job.training_files if file.weight != 1},
            "invalid_share": job.invalid_share,
        },
        "wandb": job.wandb,
        "names": {"model": f"{job.base_model}-{job.suffix}" if job.suffix else job.id},
    }


def _whole_lines(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
