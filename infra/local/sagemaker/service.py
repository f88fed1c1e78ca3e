"""SageMaker's front: HTTP requests to operations, refusals to error bodies."""

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from infra.local import emulator
from infra.local.sagemaker import autoscaling, shapes
from infra.local.sagemaker.autoscaling import Autoscaling
from infra.local.sagemaker.component_run import KIND, base_of
from infra.local.sagemaker.components import Components
from infra.local.sagemaker.endpoints import Endpoints
from infra.local.sagemaker.errors import SageMakerError
from infra.local.sagemaker.models import Catalogue, Tags
from infra.local.sagemaker.plant import Plant
from infra.local.sagemaker.step_functions import RESOURCE, CreateTrainingJobTask
from infra.local.sagemaker.store import Record, arn
from infra.local.sagemaker.streams import ContainerStream
from infra.local.sagemaker.training_jobs import FINAL, TrainingJobs
from infra.local.sagemaker.training_run import INTERRUPTED, failed

# Application Auto Scaling is told by its target header alone.
_NO_PATH = r"^(?!)"
_INVOCATION = re.compile(r"^/endpoints/([^/]+)/invocations(-response-stream)?$")
# An operation that names two resources is about the first of them in this table.
_NAMED = (("TrainingJobName", "training-job"), ("ModelName", "model"),
          ("InferenceComponentName", "inference-component"), ("EndpointName", "endpoint"),
          ("EndpointConfigName", "endpoint-config"))  # fmt: skip
_PASSED_ROLES = {"CreateTrainingJob": "RoleArn", "CreateModel": "ExecutionRoleArn",
                 "CreateEndpointConfig": "ExecutionRoleArn"}  # fmt: skip
Operation = Callable[[dict[str, Any]], dict[str, Any]]


class SageMaker:
    """The service: hooks itself into the emulator, answers its requests, brings components back after a restart."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._jobs = TrainingJobs(plant)
        models = Catalogue(plant.store, "model", "model", "Model")
        configs = Catalogue(plant.store, "endpoint-config", "endpoint configuration", "EndpointConfig")
        self._components = components = Components(plant, models, configs)
        self._autoscaling = Autoscaling(plant, components)
        endpoints = self._endpoints = Endpoints(plant, configs, components, self._autoscaling)
        tags = Tags(plant.store)
        self._operations: dict[str, Operation] = {
            "CreateTrainingJob": self._jobs.create,
            "DescribeTrainingJob": self._jobs.describe,
            "ListTrainingJobs": self._jobs.list,
            "StopTrainingJob": self._jobs.stop,
            "CreateModel": models.create,
            "DescribeModel": models.describe,
            "ListModels": models.list,
            "DeleteModel": models.delete,
            "CreateEndpointConfig": configs.create,
            "DescribeEndpointConfig": configs.describe,
            "DeleteEndpointConfig": configs.delete,
            "CreateEndpoint": endpoints.create,
            "DescribeEndpoint": endpoints.describe,
            "ListEndpoints": endpoints.list,
            "UpdateEndpoint": endpoints.update,
            "DeleteEndpoint": endpoints.delete,
            "CreateInferenceComponent": components.create,
            "DescribeInferenceComponent": components.describe,
            "ListInferenceComponents": components.list,
            "UpdateInferenceComponent": components.update,
            "UpdateInferenceComponentRuntimeConfig": components.update_copies,
            "DeleteInferenceComponent": components.delete,
            "AddTags": tags.add,
            "ListTags": tags.list,
            "DeleteTags": tags.delete,
        }

    def install(self) -> None:
        """Make the emulator serve SageMaker, check its IAM, and run `createTrainingJob.sync`."""
        emulator.add_service("sagemaker", "SageMaker.", _INVOCATION.pattern, self.handle)
        emulator.add_resource_arns("sagemaker", _resource_arn)
        emulator.add_service(autoscaling.SERVICE, autoscaling.TARGET_PREFIX, _NO_PATH, self.handle_scaling)
        emulator.add_resource_arns(autoscaling.SERVICE, lambda path, body: autoscaling.target_arn(_document(body)))
        emulator.add_condition_keys(autoscaling.SERVICE, lambda body: autoscaling.condition_keys(_document(body)))
        emulator.add_task(RESOURCE, CreateTrainingJobTask(self._plant, self._jobs))

    def recover(self) -> None:
        """After a restart: jobs that were running have lost their process; endpoints get a new one."""
        for kind in ("jobs", "components"):
            shutil.rmtree(self._plant.options.sagemaker / kind, ignore_errors=True)
        for job in self._plant.store.all("training-job"):
            if job["TrainingJobStatus"] not in FINAL:
                self._lose(job)
        # Bases before adapters: these are declared to a server that has begun to start.
        for component in sorted(self._plant.store.all(KIND), key=lambda record: base_of(record) is not None):
            self._revive(component)
        self._autoscaling.start()

    def _lose(self, job: Record) -> None:
        ending = failed(f"AlgorithmError: {INTERRUPTED}, exit code: 137")
        # What it had used when it was last heard of.
        seconds = max(1, int(job.get("LastModifiedTime", 0) - job["CreationTime"]))
        shutil.rmtree(self._plant.folder("jobs", job["TrainingJobName"]), ignore_errors=True)
        self._plant.store.update(
            "training-job", job["TrainingJobName"], TrainingJobStatus=ending.status,
            SecondaryStatus=ending.secondary, FailureReason=ending.failure, TrainingEndTime=job["LastModifiedTime"],
            BillableTimeInSeconds=seconds,
        )  # fmt: skip

    def _revive(self, component: Record) -> None:
        try:
            self._components.recover(component)
        except SageMakerError as error:  # its model or configuration was deleted meanwhile
            self._plant.store.update(
                KIND,
                component["InferenceComponentName"],
                InferenceComponentStatus="Failed",
                FailureReason=error.message,
            )

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> emulator.Response:
        """The emulator's entry. Operations run in threads: they wait for files, children and locks."""
        try:
            if match := _INVOCATION.match(path):
                name, streams = unquote(match.group(1)), match.group(2)
                invoke = self._endpoints.stream if streams else self._endpoints.invoke
                extra, answer = await asyncio.to_thread(invoke, name, body, headers)
                return 200, extra, emulator.streaming(answer.run) if isinstance(answer, ContainerStream) else answer
            operation = headers.get("x-amz-target", "").partition(".")[2]
            _check_passed_role(operation, headers, body)
            document = await asyncio.to_thread(self._perform, operation, body)
        except SageMakerError as error:
            return _refusal(error)
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()

    async def handle_scaling(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> emulator.Response:
        """The same for Application Auto Scaling."""
        operation = headers.get("x-amz-target", "").partition(".")[2]
        try:
            document = await asyncio.to_thread(self._perform, operation, body, autoscaling.SERVICE)
        except SageMakerError as error:
            return _refusal(error)
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()

    def _perform(self, operation: str, body: bytes, service: str = "sagemaker") -> dict[str, Any]:
        operations = self._autoscaling.operations if service == autoscaling.SERVICE else self._operations
        perform = operations.get(operation)
        if perform is None:
            raise SageMakerError("UnknownOperationException", f"The local cloud has no {service} {operation}.")
        request = _document(body)
        shapes.check_request(operation, request, service)
        return perform(request)


def _document(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        raise SageMakerError("SerializationException", "The request body is not JSON.") from error
    if not isinstance(request, dict):
        raise SageMakerError("SerializationException", "The request body is not a JSON object.")
    return request


def _check_passed_role(operation: str, headers: dict[str, str], body: bytes) -> None:
    member = _PASSED_ROLES.get(operation)
    role = _document(body).get(member) if member else None
    if role and not emulator.may_pass_role(headers, str(role), "sagemaker.amazonaws.com"):
        raise SageMakerError(
            "AccessDeniedException", f"The caller is not authorized to perform: iam:PassRole on resource: {role}"
        )


def _refusal(error: SageMakerError) -> emulator.Response:
    members = {"__type": error.code, "message": error.message, "Message": error.message, **error.members}
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": error.code}
    return error.status, headers, json.dumps(members).encode()


def _resource_arn(path: str, body: bytes) -> str:
    if match := _INVOCATION.match(path):
        return arn("endpoint", unquote(match.group(1)))
    try:
        request = _document(body)
    except SageMakerError:
        return "*"
    if "ResourceArn" in request:
        return str(request["ResourceArn"])
    # CreateEndpoint names two resources; the endpoint comes first in the table.
    return next((arn(kind, str(request[member])) for member, kind in _NAMED if member in request), "*")
