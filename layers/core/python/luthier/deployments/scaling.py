"""Copies that follow the load: Application Auto Scaling on an inference component, and the alarm that wakes it."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

# Requests that one worker answers at once when it is fully used; `target_utilization` is a part of it.
REQUESTS_PER_WORKER = 20
# A worker goes after this long below the target: with none left the deployment sleeps.
IDLE_SECONDS = 600
_NAMESPACE = "sagemaker"
_DIMENSION = "sagemaker:inference-component:DesiredCopyCount"
_METRIC = "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"


@dataclass(frozen=True)
class Bounds:
    """Copies of a component at least and at most, and the part of a worker that is to be used."""

    least: int
    most: int
    target_utilization: float


class Scaling:
    def __init__(self, autoscaling: Any, cloudwatch: Any) -> None:
        self._autoscaling = autoscaling
        self._cloudwatch = cloudwatch

    def apply(self, component: str, asked: list[str], bounds: Bounds) -> None:
        """Let a component's copies follow its load. asked: the components that requests name, itself or adapters."""
        target = self._target(component)
        self._autoscaling.register_scalable_target(**target, MinCapacity=bounds.least, MaxCapacity=bounds.most)
        self._autoscaling.put_scaling_policy(
            **target,
            PolicyName=f"{component}-load",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "PredefinedMetricSpecification": {"PredefinedMetricType": _METRIC},
                "TargetValue": bounds.target_utilization * REQUESTS_PER_WORKER,
                "ScaleInCooldown": IDLE_SECONDS,
                "ScaleOutCooldown": 60,
            },
        )
        if bounds.least == 0:
            self._wake(component, asked, target)
        else:
            self._forget([f"{name}-asleep" for name in asked])

    def watch(self, component: str) -> str:
        """Make the alarm that takes back a rolling update; its name."""
        name = f"{component}-errors"
        self._alarm(name, component, "Invocation5XXErrors", statistic="Sum", period=60, threshold=5, actions=[])
        return name

    def remove(self, component: str, asked: list[str]) -> None:
        """Take everything away that `apply` and `watch` made; what is not there is fine."""
        with suppress(self._autoscaling.exceptions.ObjectNotFoundException):
            # Its policies go with it.
            self._autoscaling.deregister_scalable_target(**self._target(component))
        self._forget([f"{component}-errors", *(f"{name}-asleep" for name in asked)])

    def _wake(self, component: str, asked: list[str], target: dict[str, str]) -> None:
        """The first request that finds no copy brings one."""
        policy = self._autoscaling.put_scaling_policy(
            **target,
            PolicyName=f"{component}-wake",
            PolicyType="StepScaling",
            StepScalingPolicyConfiguration={
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Maximum",
                "Cooldown": 60,
                "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            },
        )
        for name in asked:
            self._alarm(
                f"{name}-asleep",
                name,
                "NoCapacityInvocationFailures",
                statistic="Maximum",
                period=30,
                threshold=1,
                actions=[policy["PolicyARN"]],
            )

    def _alarm(
        self, name: str, component: str, metric: str, *, statistic: str, period: int, threshold: int, actions: list[str]
    ) -> None:
        self._cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=[{"Name": "InferenceComponentName", "Value": component}],
            Statistic=statistic,
            Period=period,
            EvaluationPeriods=1,
            DatapointsToAlarm=1,
            Threshold=threshold,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="notBreaching",
            AlarmActions=actions,
        )

    def _forget(self, alarms: list[str]) -> None:
        for alarm in alarms:
            # One at a time: where one of several is not there, CloudWatch may delete none.
            with suppress(self._cloudwatch.exceptions.ResourceNotFound):
                self._cloudwatch.delete_alarms(AlarmNames=[alarm])

    @staticmethod
    def _target(component: str) -> dict[str, str]:
        return {
            "ServiceNamespace": _NAMESPACE,
            "ResourceId": f"inference-component/{component}",
            "ScalableDimension": _DIMENSION,
        }
