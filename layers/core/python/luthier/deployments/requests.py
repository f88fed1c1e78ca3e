"""What SageMaker is asked to make, as its API reads it. Pure.

A site is an endpoint with one inference component that holds the weights (`<endpoint>-base`): a host of many adapters,
or the endpoint of one dedicated deployment. AWS's LMI container (vLLM) serves it from a prefix in S3.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from luthier.deployments.entity import base_component
from luthier.jobs.hyperparameters import MAX_LORA_RANK

VARIANT = "main"
_STARTUP_SECONDS = 1800
# What a copy needs beside its GPUs; weights go through the machine's memory piece by piece.
_MEMORY_MB = 8192
# Adapters that an engine applies in one batch, and those that it holds in the machine's memory: one that is not among
# them costs a hundred times its first token.
_ADAPTERS_AT_ONCE, _ADAPTERS_HELD = 8, 128


@dataclass(frozen=True)
class Site:
    """Where weights are to be served. with_adapters: others stand on them; copies: how many to begin with.

    least, most: bounds of the instances that the endpoint may have.
    """

    endpoint: str
    model_uri: str
    image: str
    instance_type: str
    gpus: int
    with_adapters: bool
    copies: int
    least: int
    most: int
    tag: str

    @property
    def component(self) -> str:
        return base_component(self.endpoint)

    @property
    def model(self) -> str:
        """Name of the SageMaker model: another for another image, other weights or other options."""
        digest = hashlib.sha256(json.dumps(container(self), sort_keys=True).encode()).hexdigest()
        return f"{self.endpoint}-{digest[:8]}"

    @property
    def tags(self) -> list[dict[str, str]]:
        return [{"Key": "luthier:organization", "Value": self.tag}]


def container(site: Site) -> dict[str, Any]:
    """OPTION_* become arguments of the engine."""
    environment = {"HF_MODEL_ID": "/opt/ml/model", "OPTION_ROLLING_BATCH": "disable"}
    if site.gpus > 1:
        environment["OPTION_TENSOR_PARALLEL_DEGREE"] = str(site.gpus)
    if site.with_adapters:
        environment |= {
            "OPTION_ENABLE_LORA": "true",
            "OPTION_MAX_LORA_RANK": str(MAX_LORA_RANK),
            "OPTION_MAX_LORAS": str(_ADAPTERS_AT_ONCE),
            "OPTION_MAX_CPU_LORAS": str(_ADAPTERS_HELD),
        }
    prefix = {"S3DataType": "S3Prefix", "S3Uri": site.model_uri.rstrip("/") + "/", "CompressionType": "None"}
    return {"Image": site.image, "ModelDataSource": {"S3DataSource": prefix}, "Environment": environment}


def model(site: Site, role_arn: str) -> dict[str, Any]:
    return {
        "ModelName": site.model,
        "ExecutionRoleArn": role_arn,
        "PrimaryContainer": container(site),
        "EnableNetworkIsolation": True,
        "Tags": site.tags,
    }


def endpoint_config(site: Site, role_arn: str, *, least: int) -> dict[str, Any]:
    """least: instances that stay; 0 lets the last one go with the last copy."""
    variant = {
        "VariantName": VARIANT,
        "InstanceType": site.instance_type,
        "InitialInstanceCount": 1,
        "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": least, "MaxInstanceCount": site.most},
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
        "ContainerStartupHealthCheckTimeoutInSeconds": _STARTUP_SECONDS,
        "ModelDataDownloadTimeoutInSeconds": _STARTUP_SECONDS,
    }
    return {
        "EndpointConfigName": site.endpoint,
        "ExecutionRoleArn": role_arn,
        "ProductionVariants": [variant],
        "Tags": site.tags,
    }


def endpoint(site: Site) -> dict[str, Any]:
    return {"EndpointName": site.endpoint, "EndpointConfigName": site.endpoint, "Tags": site.tags}


def component(site: Site) -> dict[str, Any]:
    return {
        "InferenceComponentName": site.component,
        "EndpointName": site.endpoint,
        "VariantName": VARIANT,
        "Specification": specification(site),
        "RuntimeConfig": {"CopyCount": site.copies},
        "Tags": site.tags,
    }


def specification(site: Site) -> dict[str, Any]:
    compute: dict[str, Any] = {"MinMemoryRequiredInMb": _MEMORY_MB}
    if site.gpus:
        compute["NumberOfAcceleratorDevicesRequired"] = site.gpus
    return {
        "ModelName": site.model,
        "StartupParameters": {
            "ModelDataDownloadTimeoutInSeconds": _STARTUP_SECONDS,
            "ContainerStartupHealthCheckTimeoutInSeconds": _STARTUP_SECONDS,
        },
        "ComputeResourceRequirements": compute,
    }


def rolling_update(site: Site, alarm: str) -> dict[str, Any]:
    """The change to another model, one copy after the other; AWS goes back by itself when the alarm sounds."""
    return {
        "InferenceComponentName": site.component,
        "Specification": specification(site),
        "DeploymentConfig": {
            "RollingUpdatePolicy": {
                "MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1},
                "WaitIntervalInSeconds": 120,
                "RollbackMaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1},
            },
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
        },
    }


def adapter(name: str, endpoint_name: str, archive_uri: str, tag: str) -> dict[str, Any]:
    """An adapter over an endpoint's weights; the copies of those carry it, so it has none of its own."""
    return {
        "InferenceComponentName": name,
        "EndpointName": endpoint_name,
        "Specification": {
            "BaseInferenceComponentName": base_component(endpoint_name),
            "Container": {"ArtifactUrl": archive_uri},
        },
        "Tags": [{"Key": "luthier:organization", "Value": tag}],
    }
