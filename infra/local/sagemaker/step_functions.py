"""`sagemaker:createTrainingJob.sync` for the state machines: create, wait, return or raise as AWS does."""

import json
from typing import Any

from infra.local import emulator
from infra.local.sagemaker import shapes
from infra.local.sagemaker.errors import SageMakerError
from infra.local.sagemaker.events import milliseconds
from infra.local.sagemaker.plant import Plant
from infra.local.sagemaker.training_jobs import TrainingJobs

RESOURCE = "arn:aws:states:::sagemaker:createTrainingJob"
# The service integration names the errors that SageMaker's model has and calls every other one by the service.
_MODELLED = {"ResourceInUse": "ResourceInUseException", "ResourceLimitExceeded": "ResourceLimitExceededException",
             "ResourceNotFound": "ResourceNotFoundException"}  # fmt: skip


class CreateTrainingJobTask:
    """The task handler that the emulator calls, with and without `.sync`."""

    def __init__(self, plant: Plant, jobs: TrainingJobs) -> None:
        self._plant = plant
        self._jobs = jobs

    def __call__(self, resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if unknown := shapes.unknown_members("CreateTrainingJob", arguments):
            raise emulator.task_failure("States.Runtime", f"Not arguments of CreateTrainingJob: {', '.join(unknown)}")
        try:
            shapes.check_request("CreateTrainingJob", arguments)
            answer = self._jobs.create(arguments)
        except SageMakerError as error:
            name = _MODELLED.get(error.code, "AmazonSageMakerException")
            raise emulator.task_failure(f"SageMaker.{name}", f"{error.message} (Error Code: {error.code})") from error
        return self._wait(arguments["TrainingJobName"]) if resource.endswith(".sync") else answer

    def _wait(self, name: str) -> dict[str, Any]:
        run = self._plant.live(f"training-job/{name}")
        if run:
            run.join()
        job = milliseconds(self._jobs.describe({"TrainingJobName": name}))
        if job["TrainingJobStatus"] != "Completed":
            raise emulator.task_failure("States.TaskFailed", json.dumps(job))
        return job
