"""The training-job operations: requests in, records and running threads out."""

import time
from typing import Any

from infra.local.sagemaker.errors import SageMakerError, invalid
from infra.local.sagemaker.plant import Plant
from infra.local.sagemaker.store import Record, arn
from infra.local.sagemaker.training_run import TrainingRun

# Part of Describe but not of Create's input.
_COPIED = (
    "TrainingJobName", "HyperParameters", "AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig",
    "ResourceConfig", "StoppingCondition", "CheckpointConfig", "Environment", "VpcConfig",
    "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining", "RetryStrategy",
)  # fmt: skip
FINAL = ("Completed", "Failed", "Stopped")
_SORT_MEMBERS = {"Name": "TrainingJobName", "CreationTime": "CreationTime", "Status": "TrainingJobStatus"}


class TrainingJobs:
    """Create, describe, list and stop."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._store = plant.store

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateTrainingJob: the name is unique for ever; a second create with it starts nothing."""
        _check_supported(request)
        name, now = request["TrainingJobName"], time.time()
        record: Record = {
            "TrainingJobArn": arn("training-job", name),
            **{member: request[member] for member in _COPIED if member in request},
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [],
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        if not self._store.add("training-job", name, record, request.get("Tags", [])):
            raise SageMakerError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a job with this name "
                f"already exists ({record['TrainingJobArn']})",
            )
        TrainingRun(self._plant, name).start()
        return {"TrainingJobArn": record["TrainingJobArn"]}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeTrainingJob."""
        record = self._store.get("training-job", request["TrainingJobName"])
        if record is None:
            raise invalid("Requested resource not found.")
        return record

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListTrainingJobs: newest first unless sorted otherwise; NextToken is an offset."""
        member = _SORT_MEMBERS[request.get("SortBy", "CreationTime")]
        found = [job for job in self._store.all("training-job") if _selected(job, request)]
        found.sort(key=lambda job: job[member], reverse=request.get("SortOrder", "Descending") == "Descending")
        start, size = _offset(request.get("NextToken")), request.get("MaxResults", 10)
        members = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime",
                   "TrainingJobStatus", "SecondaryStatus")  # fmt: skip
        page = [{key: job[key] for key in members if key in job} for job in found[start : start + size]]
        more = {"NextToken": str(start + size)} if start + size < len(found) else {}
        return {"TrainingJobSummaries": page, **more}

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """StopTrainingJob: SIGTERM, two minutes to save, then SIGKILL. The answer comes before the end."""
        job = self.describe(request)
        if job["TrainingJobStatus"] in FINAL:
            raise invalid(f"The request was rejected because the training job is in status {job['TrainingJobStatus']}.")
        self._plant.stop_training(job["TrainingJobName"])
        return {}


def _selected(job: Record, request: dict[str, Any]) -> bool:
    return (
        request.get("NameContains", "").lower() in job["TrainingJobName"].lower()
        and request.get("StatusEquals", job["TrainingJobStatus"]) == job["TrainingJobStatus"]
        and request.get("CreationTimeAfter", 0) <= job["CreationTime"]
        and job["CreationTime"] <= request.get("CreationTimeBefore", float("inf"))
    )


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdecimal():
        raise invalid("Invalid NextToken")
    return int(token)


def _check_supported(request: dict[str, Any]) -> None:
    if request["OutputDataConfig"].get("CompressionType") != "NONE":
        raise invalid("The local cloud writes models uncompressed: set OutputDataConfig.CompressionType to NONE.")
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource", {})
        if source.get("S3DataType") != "S3Prefix" or channel.get("InputMode", "File") != "File":
            raise invalid(f"The local cloud reads channel {channel['ChannelName']} as S3Prefix in File mode only.")
