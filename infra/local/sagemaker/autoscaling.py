"""Application Auto Scaling of inference components, as far as one machine has anything to scale.

Of a registered target two things have an effect: with MinCapacity 0, a component that nobody has asked for the target
tracking policy's ScaleInCooldown goes to no copies; and a request that finds none brings one back where a step policy
is there, as the alarm on NoCapacityInvocationFailures does on AWS. Loads between are one process' own affair.
"""

import threading
import time
from typing import Any

from infra.local.options import ACCOUNT, REGION
from infra.local.sagemaker.components import Components
from infra.local.sagemaker.errors import SageMakerError
from infra.local.sagemaker.plant import Plant
from infra.local.sagemaker.store import Record

SERVICE, TARGET_PREFIX = "application-autoscaling", "AnyScaleFrontendService."
_TARGET, _POLICY = "scalable-target", "scaling-policy"
_COOLDOWN_SECONDS = 300
_LOOK_SECONDS = 0.5


class Autoscaling:
    """The operations, and the thread that puts idle components to sleep."""

    def __init__(self, plant: Plant, components: Components) -> None:
        self._plant = plant
        self._store = plant.store
        self._components = components
        self.operations = {
            "RegisterScalableTarget": self.register,
            "DeregisterScalableTarget": self.deregister,
            "DescribeScalableTargets": self.describe,
            "PutScalingPolicy": self.put_policy,
            "DeleteScalingPolicy": self.delete_policy,
            "DescribeScalingPolicies": self.describe_policies,
        }

    def start(self) -> None:
        threading.Thread(target=self._watch, name="autoscaling", daemon=True).start()

    def register(self, request: dict[str, Any]) -> dict[str, Any]:
        """RegisterScalableTarget: makes or changes it, and moves the copies within its bounds."""
        name = request["ResourceId"]
        kept = {key: request[key] for key in (*_ADDRESS, "MinCapacity", "MaxCapacity", "RoleARN") if key in request}
        known = self._store.get(_TARGET, name)
        if known is None:
            if not {"MinCapacity", "MaxCapacity"} <= set(kept):
                raise SageMakerError(
                    "ValidationException", "MinCapacity and MaxCapacity are required for a new target."
                )
            record: Record = {"ScalableTargetARN": target_arn(request), **kept, "CreationTime": time.time()}
            self._store.add(_TARGET, name, record, [])
        else:
            self._store.update(_TARGET, name, **kept)
        bounds = {**(known or {}), **kept}
        self._components.hold_within(
            name.removeprefix("inference-component/"), bounds["MinCapacity"], bounds["MaxCapacity"]
        )
        return {"ScalableTargetARN": target_arn(request)}

    def deregister(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeregisterScalableTarget; its policies go with it."""
        self._existing(request)
        for policy in self._policies(request["ResourceId"]):
            self._store.remove(_POLICY, _key(policy))
        self._store.remove(_TARGET, request["ResourceId"])
        return {}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request.get("ResourceIds")
        targets = [row for row in self._store.all(_TARGET) if not wanted or row["ResourceId"] in wanted]
        return {"ScalableTargets": [{k: v for k, v in row.items() if k != "LastModifiedTime"} for row in targets]}

    def put_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """PutScalingPolicy: makes or changes it."""
        self._existing(request)
        policy: Record = {"PolicyARN": _arn(f"scalingPolicy:{_key(request)}"), **request, "CreationTime": time.time()}
        self._store.remove(_POLICY, _key(request))
        self._store.add(_POLICY, _key(request), policy, [])
        return {"PolicyARN": policy["PolicyARN"], "Alarms": []}

    def delete_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._store.remove(_POLICY, _key(request)) is None:
            raise SageMakerError("ObjectNotFoundException", f"No scaling policy {request['PolicyName']}.")
        return {}

    def describe_policies(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request.get("ResourceId")
        policies = [row for row in self._store.all(_POLICY) if wanted in (None, row["ResourceId"])]
        return {"ScalingPolicies": [{k: v for k, v in row.items() if k != "LastModifiedTime"} for row in policies]}

    def wake(self, component: str) -> None:
        """A request found no copy: what the step policy's alarm would do."""
        name = f"inference-component/{component}"
        if any(policy["PolicyType"] == "StepScaling" for policy in self._policies(name)):
            self._components.set_copies(component, 1)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            for target in self._store.all(_TARGET):
                name = target["ResourceId"].removeprefix("inference-component/")
                if target["MinCapacity"] == 0 and self._components.idle_seconds(name) > self._cooldown(target):
                    self._components.set_copies(name, 0)

    def _cooldown(self, target: Record) -> float:
        tracking = [row for row in self._policies(target["ResourceId"]) if row["PolicyType"] == "TargetTrackingScaling"]
        if not tracking:
            return float("inf")
        asked = tracking[0].get("TargetTrackingScalingPolicyConfiguration", {})
        return float(asked.get("ScaleInCooldown", _COOLDOWN_SECONDS) * self._plant.options.wait_scale)

    def _policies(self, resource: str) -> list[Record]:
        return [row for row in self._store.all(_POLICY) if row["ResourceId"] == resource]

    def _existing(self, request: dict[str, Any]) -> None:
        if self._store.get(_TARGET, request["ResourceId"]) is None:
            message = f"No scalable target found for {', '.join(str(request.get(key)) for key in _ADDRESS)}"
            raise SageMakerError("ObjectNotFoundException", message)


_ADDRESS = ("ServiceNamespace", "ResourceId", "ScalableDimension")


def _key(policy: dict[str, Any]) -> str:
    return f"{policy['ResourceId']}:{policy['PolicyName']}"


def target_arn(request: dict[str, Any]) -> str:
    """What a request is about."""
    return _arn(f"scalable-target/{request.get('ResourceId', '*')}")


def condition_keys(request: dict[str, Any]) -> dict[str, Any]:
    """What policies may be conditioned on."""
    named = {"service-namespace": "ServiceNamespace", "scalable-dimension": "ScalableDimension"}
    return {f"{SERVICE}:{key}": request[member] for key, member in named.items() if member in request}


def _arn(resource: str) -> str:
    return f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:{resource}"
