"""Grants of the catalogue's rows on what serves models: SageMaker's endpoints, their scaling and their alarms."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Grant:
    """Permission for `actions` on the platform's resource called `on`."""

    on: str
    actions: tuple[str, ...]


COMPONENT_DESCRIBE = Grant("components", ("sagemaker:DescribeInferenceComponent",))
ENDPOINT_INVOKE = Grant("invocable", ("sagemaker:InvokeEndpoint",))
SERVING_DESCRIBE = (
    Grant("serving", ("sagemaker:DescribeEndpoint", "sagemaker:DescribeInferenceComponent")),
    Grant("all_serving", ("sagemaker:ListInferenceComponents", "sagemaker:ListModels")),
)
SERVING_CREATE = Grant(
    "serving",
    (
        "sagemaker:AddTags",
        "sagemaker:CreateEndpoint",
        "sagemaker:CreateEndpointConfig",
        "sagemaker:CreateInferenceComponent",
        "sagemaker:CreateModel",
    ),
)
SERVING_UPDATE = Grant(
    "serving", ("sagemaker:UpdateInferenceComponent", "sagemaker:UpdateInferenceComponentRuntimeConfig")
)
SERVING_DELETE = Grant(
    "serving",
    (
        "sagemaker:DeleteEndpoint",
        "sagemaker:DeleteEndpointConfig",
        "sagemaker:DeleteInferenceComponent",
        "sagemaker:DeleteModel",
    ),
)
SCALING = (
    Grant(
        "scalable_targets",
        (
            "application-autoscaling:DeregisterScalableTarget",
            "application-autoscaling:PutScalingPolicy",
            "application-autoscaling:RegisterScalableTarget",
        ),
    ),
    # Application Auto Scaling keeps its own alarms with the caller's permissions.
    Grant("serving_alarms", ("cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm")),
    # Of effect once per account: AWS makes the role that moves copies when the first target is registered.
    Grant("scaling_role", ("iam:CreateServiceLinkedRole",)),
)
PASS_SERVING_ROLE = Grant("serving_role", ("iam:PassRole",))
SERVING = (*SERVING_DESCRIBE, SERVING_CREATE, SERVING_UPDATE, SERVING_DELETE, *SCALING, PASS_SERVING_ROLE)
SERVING_SETTINGS = ("serving_image", "serving_role_arn", "host_idle_minutes")
