"""Fakes of the two services that no in-process emulator runs: SageMaker's training jobs and Step Functions."""

import io
import json
from typing import Any

from botocore.exceptions import ClientError


class _Exceptions:
    ClientError = ClientError

    class ExecutionAlreadyExists(Exception):
        pass

    class ExecutionDoesNotExist(Exception):
        pass


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


class FakeStates:
    """State machines that only remember what was started; a test plays the steps itself."""

    exceptions = _Exceptions

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.statuses: dict[str, str] = {}
        self.unavailable = False

    def start_execution(self, **request: Any) -> dict[str, Any]:
        if self.unavailable:
            raise refusal("ServiceUnavailable", "Try again.")
        if request["name"] in self.statuses:
            raise _Exceptions.ExecutionAlreadyExists
        self.started.append(request)
        self.statuses[request["name"]] = "RUNNING"
        return {"executionArn": request["name"]}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803, boto3's spelling
        name = executionArn.rpartition(":")[2]
        if name not in self.statuses:
            raise _Exceptions.ExecutionDoesNotExist
        return {"status": self.statuses[name]}


class FakeEndpoints:
    """SageMaker endpoints that answer every chat with `answer`, or refuse it with `refusal`."""

    class exceptions(_Exceptions):  # noqa: N801, boto3's spelling
        class ModelError(ClientError):
            pass

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}
        self.refusal: Exception | None = None

    def invoke_endpoint(self, EndpointName: str, ContentType: str, Body: bytes) -> dict[str, Any]:  # noqa: N803
        if self.refusal:
            raise self.refusal
        self.asked.append({"endpoint": EndpointName} | json.loads(Body))
        return {"Body": io.BytesIO(json.dumps(self.answer).encode())}

    def refuse(self, status: int, message: str) -> None:
        """From now on the engine refuses with this HTTP status, as SageMaker passes it on."""
        error = self.exceptions.ModelError({"Error": {"Code": "ModelError", "Message": message}}, "InvokeEndpoint")
        error.response |= {  # type: ignore[typeddict-item]
            "OriginalStatusCode": status,
            "OriginalMessage": json.dumps({"error": {"message": message, "param": "temperature"}}),
        }
        self.refusal = error


class FakeSageMaker:
    """Training jobs as descriptions that a test writes; an unknown one is refused as SageMaker refuses it."""

    exceptions = _Exceptions

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.stopped: list[str] = []

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        if TrainingJobName not in self.jobs:
            raise refusal("ValidationException", "Requested resource not found.")
        return self.jobs[TrainingJobName]

    def stop_training_job(self, TrainingJobName: str) -> None:  # noqa: N803
        self.describe_training_job(TrainingJobName)
        self.stopped.append(TrainingJobName)
