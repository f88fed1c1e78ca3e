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


class RuntimeExceptions(_Exceptions):
    class ModelError(ClientError):
        pass


class FakeEndpointRuntime:
    """InvokeEndpoint of an engine that repeats the question, or refuses as a test says."""

    exceptions = RuntimeExceptions

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.refusal: ClientError | None = None

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        if self.refusal:
            raise self.refusal
        body = json.loads(request["Body"])
        self.asked.append(body | {"endpoint": request["EndpointName"]})
        message = {"role": "assistant", "content": body["messages"][-1]["content"]}
        answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"total_tokens": 2}}
        return {"Body": io.BytesIO(json.dumps(answer).encode())}


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

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        name = executionArn.rpartition(":")[2]
        if name not in self.statuses:
            raise _Exceptions.ExecutionDoesNotExist
        return {"status": self.statuses[name]}


class FakeSageMaker:
    """Training jobs as descriptions that a test writes; an unknown one is refused as SageMaker refuses it."""

    exceptions = _Exceptions

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.stopped: list[str] = []
        # (kind, name) → request, for what serves: models, endpoint configurations, endpoints.
        self.serving: dict[tuple[str, str], dict[str, Any]] = {}
        self.endpoint_status = "InService"

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        if TrainingJobName not in self.jobs:
            raise refusal("ValidationException", "Requested resource not found.")
        return self.jobs[TrainingJobName]

    def stop_training_job(self, TrainingJobName: str) -> None:
        self.describe_training_job(TrainingJobName)
        self.stopped.append(TrainingJobName)

    def create_model(self, **request: Any) -> None:
        self._create("model", request["ModelName"], request)

    def create_endpoint_config(self, **request: Any) -> None:
        self._create("endpoint-config", request["EndpointConfigName"], request)

    def create_endpoint(self, **request: Any) -> None:
        self._create("endpoint", request["EndpointName"], request)

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        return self.serving[("endpoint", EndpointName)] | {"EndpointStatus": self.endpoint_status}

    def delete_model(self, ModelName: str) -> None:
        self._delete("model", ModelName)

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:
        self._delete("endpoint-config", EndpointConfigName)

    def delete_endpoint(self, EndpointName: str) -> None:
        self._delete("endpoint", EndpointName)

    def _create(self, kind: str, name: str, request: dict[str, Any]) -> None:
        if (kind, name) in self.serving:
            raise refusal("ValidationException", f"Cannot create already existing {kind} {name}.")
        self.serving[(kind, name)] = request

    def _delete(self, kind: str, name: str) -> None:
        if self.serving.pop((kind, name), None) is None:
            raise refusal("ValidationException", f"Could not find {kind} {name}.")
