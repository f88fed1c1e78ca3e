"""SageMaker's endpoints and inference components, and what scales them, as far as Luthier asks: requests are checked
against botocore's model of the service, what is made takes a look or two to be there, and the order of removal counts.
"""

from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


@cache
def _service(name: str) -> Any:
    return botocore.session.get_session().get_service_model(name)


def check(service: str, operation: str, request: dict[str, Any]) -> None:
    """Fail as botocore fails for a request that the service's model does not allow."""
    found = ParamValidator().validate(request, _service(service).operation_model(operation).input_shape)
    assert not found.has_errors(), found.generate_report()


class FakeEndpoints:
    """What serves. Each thing is seen once on its way before it is there, and once again before it is gone."""

    def __init__(self) -> None:
        # (kind, name) → request with its state; kinds: model, config, endpoint, component.
        self.serving: dict[tuple[str, str], dict[str, Any]] = {}
        # Instance type → FailureReason of endpoints on it; part of a component's name → FailureReason.
        self.endpoint_failures: dict[str, str] = {}
        self.component_failures: dict[str, str] = {}
        # Raised by the call of this name, once.
        self.refusals: dict[str, ClientError] = {}
        self.calls: list[str] = []
        self.rolls_back = False

    def names(self, kind: str) -> list[str]:
        return sorted(name for found, name in self.serving if found == kind)

    def container(self, endpoint: str) -> dict[str, Any]:
        """Of the model that an endpoint's weights are served by."""
        model = self.serving["component", f"{endpoint}-base"]["Specification"]["ModelName"]
        return self.serving["model", model]["PrimaryContainer"]

    def create_model(self, **request: Any) -> None:
        self._make("CreateModel", "model", request["ModelName"], request)

    def create_endpoint_config(self, **request: Any) -> None:
        self._make("CreateEndpointConfig", "config", request["EndpointConfigName"], request)

    def create_endpoint(self, **request: Any) -> None:
        config = self._find("config", request["EndpointConfigName"])
        kind = config["ProductionVariants"][0]["InstanceType"]
        self._make("CreateEndpoint", "endpoint", request["EndpointName"], request, self.endpoint_failures.get(kind))

    def create_inference_component(self, **request: Any) -> None:
        endpoint, name = self._find("endpoint", request["EndpointName"]), request["InferenceComponentName"]
        if endpoint["Status"] != "InService":
            raise refusal("ValidationException", "The endpoint is not in service.")
        wanted = request["Specification"]
        if base := wanted.get("BaseInferenceComponentName"):
            assert "RuntimeConfig" not in request, "an adapter has the copies of its base"
            assert wanted["Container"]["ArtifactUrl"].endswith(".tar.gz")
            self._find("component", base)
        else:
            self._find("model", wanted["ModelName"])
        failure = next((why for part, why in self.component_failures.items() if part in name), None)
        self._make("CreateInferenceComponent", "component", name, request, failure)

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        return self._look("endpoint", EndpointName, "EndpointStatus")

    def describe_inference_component(self, InferenceComponentName: str) -> dict[str, Any]:
        described = self._look("component", InferenceComponentName, "InferenceComponentStatus")
        copies = described.get("RuntimeConfig", {}).get("CopyCount", 1)
        return described | {"RuntimeConfig": {"DesiredCopyCount": copies, "CurrentCopyCount": copies}}

    def list_inference_components(self, EndpointNameEquals: str, MaxResults: int) -> dict[str, Any]:
        found = [
            {"InferenceComponentName": name}
            for (kind, name), made in self.serving.items()
            if kind == "component" and made["EndpointName"] == EndpointNameEquals
        ]
        return {"InferenceComponents": found[:MaxResults]}

    def get_paginator(self, operation: str) -> "FakeEndpoints":
        assert operation == "list_inference_components"
        return self

    def paginate(self, NameContains: str) -> list[dict[str, Any]]:
        """Every component on a page of its own."""
        return [
            {"InferenceComponents": [{"InferenceComponentName": name, "InferenceComponentStatus": made["Status"]}]}
            for (kind, name), made in self.serving.items()
            if kind == "component" and NameContains in name
        ]

    def list_models(self, NameContains: str, MaxResults: int) -> dict[str, Any]:
        return {"Models": [{"ModelName": name} for name in self.names("model") if NameContains in name][:MaxResults]}

    def update_inference_component(self, **request: Any) -> None:
        check("sagemaker", "UpdateInferenceComponent", request)
        self.calls.append("UpdateInferenceComponent")
        made = self._find("component", request["InferenceComponentName"])
        if made["Status"] != "InService":
            raise refusal("ValidationException", "The component is being updated.")
        self._find("model", request["Specification"]["ModelName"])
        made["Status"] = "Updating"
        if not self.rolls_back:
            made["Specification"] = request["Specification"]

    def update_inference_component_runtime_config(self, **request: Any) -> None:
        check("sagemaker", "UpdateInferenceComponentRuntimeConfig", request)
        made = self._find("component", request["InferenceComponentName"])
        made["RuntimeConfig"], made["Status"] = request["DesiredRuntimeConfig"], "Updating"

    def delete_model(self, ModelName: str) -> None:
        self._drop("model", ModelName)

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:
        self._drop("config", EndpointConfigName)

    def delete_endpoint(self, EndpointName: str) -> None:
        if self.list_inference_components(EndpointName, 1)["InferenceComponents"]:
            raise refusal("ValidationException", "Cannot delete an endpoint with inference components.")
        self._leave("endpoint", EndpointName)

    def delete_inference_component(self, InferenceComponentName: str) -> None:
        if any(
            made["Specification"].get("BaseInferenceComponentName") == InferenceComponentName
            for (kind, _), made in self.serving.items()
            if kind == "component"
        ):
            raise refusal("ValidationException", "Cannot delete a base component with adapters.")
        self._leave("component", InferenceComponentName)

    def _make(self, operation: str, kind: str, name: str, request: dict[str, Any], failure: str | None = None) -> None:
        check("sagemaker", operation, request)
        self.calls.append(operation)
        if refused := self.refusals.pop(operation, None):
            raise refused
        if (kind, name) in self.serving:
            raise refusal("ValidationException", f"Cannot create already existing {kind} {name}.")
        self.serving[kind, name] = request | {"Status": "Creating", "FailureReason": failure}

    def _find(self, kind: str, name: str) -> dict[str, Any]:
        if (kind, name) not in self.serving:
            raise refusal("ValidationException", f"Could not find {kind} {name}.")
        return self.serving[kind, name]

    def _look(self, kind: str, name: str, word: str) -> dict[str, Any]:
        made = self._find(kind, name)
        seen = {**made, word: made["Status"]}
        if made["Status"] == "Deleting":
            del self.serving[kind, name]
        elif made["Status"] in ("Creating", "Updating"):
            made["Status"] = "Failed" if made["FailureReason"] else "InService"
        return seen

    def _leave(self, kind: str, name: str) -> None:
        made = self._find(kind, name)
        if kind == "endpoint" and made["Status"] in ("Creating", "Updating"):
            raise refusal("ValidationException", "Cannot delete an endpoint that is being made.")
        made["Status"] = "Deleting"

    def _drop(self, kind: str, name: str) -> None:
        self._find(kind, name)
        del self.serving[kind, name]


class FakeAutoScaling:
    """Scalable targets with their policies, by resource id."""

    class exceptions:
        class ObjectNotFoundException(Exception):
            pass

    def __init__(self) -> None:
        self.targets: dict[str, dict[str, Any]] = {}

    def register_scalable_target(self, **request: Any) -> None:
        check("application-autoscaling", "RegisterScalableTarget", request)
        policies = self.targets.get(request["ResourceId"], {}).get("policies", {})
        self.targets[request["ResourceId"]] = request | {"policies": policies}

    def put_scaling_policy(self, **request: Any) -> dict[str, str]:
        check("application-autoscaling", "PutScalingPolicy", request)
        self.targets[request["ResourceId"]]["policies"][request["PolicyName"]] = request
        return {"PolicyARN": f"arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:{request['PolicyName']}"}

    def deregister_scalable_target(self, **request: Any) -> None:
        check("application-autoscaling", "DeregisterScalableTarget", request)
        if self.targets.pop(request["ResourceId"], None) is None:
            raise self.exceptions.ObjectNotFoundException


class FakeAlarms:
    """CloudWatch's alarms by name."""

    class exceptions:
        class ResourceNotFound(Exception):
            pass

    def __init__(self) -> None:
        self.alarms: dict[str, dict[str, Any]] = {}

    def put_metric_alarm(self, **request: Any) -> None:
        check("cloudwatch", "PutMetricAlarm", request)
        self.alarms[request["AlarmName"]] = request

    def delete_alarms(self, AlarmNames: list[str]) -> None:
        for name in AlarmNames:
            if self.alarms.pop(name, None) is None:
                raise self.exceptions.ResourceNotFound
