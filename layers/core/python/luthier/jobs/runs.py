"""The machinery behind a job: its state machine execution and its SageMaker training job."""

from typing import Any

from luthier.executions import Executions
from luthier.jobs.entity import Job


class Runs:
    def __init__(self, executions: Executions, sagemaker: Any) -> None:
        self._executions = executions
        self._sagemaker = sagemaker

    def start(self, job: Job) -> None:
        """Start the attempt's execution. Its name is the attempt's, so a second start changes nothing."""
        step = {"organization_id": job.organization_id, "job_id": job.id, "attempt": job.attempt}
        self._executions.start(job.execution_name, step)

    def execution_status(self, job: Job) -> str | None:
        """Status of the attempt's execution (see Executions.status)."""
        return self._executions.status(job.execution_name)

    def stop(self, job: Job) -> None:
        """Ask SageMaker to stop the training job, if there is one that runs."""
        if job.training_job_name:
            try:
                self._sagemaker.stop_training_job(TrainingJobName=job.training_job_name)
            except self._sagemaker.exceptions.ClientError as error:
                # Not started yet, or ended already: the pipeline sees `stopping` and settles the job itself.
                if error.response["Error"]["Code"] != "ValidationException":
                    raise

    def training_job(self, name: str | None) -> dict[str, Any] | None:
        """SageMaker's description of a training job; None where it has none of this name."""
        return describe_training_job(self._sagemaker, name) if name else None


def describe_training_job(sagemaker: Any, name: str) -> dict[str, Any] | None:
    """DescribeTrainingJob's answer, None where SageMaker does not know the name."""
    try:
        return sagemaker.describe_training_job(TrainingJobName=name)
    except sagemaker.exceptions.ClientError as error:
        # SageMaker has no code of its own for an unknown job: it answers ValidationException.
        if error.response["Error"]["Code"] in ("ValidationException", "ResourceNotFound"):
            return None
        raise
