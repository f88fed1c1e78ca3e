"""SageMaker endpoints: one per deployment, with AWS's vLLM container, weights mounted from S3.

An adapter is served over its base model. Full weights are served as a model of their own, and so is DoRA, of which
vLLM takes no adapters.
"""

import json
from typing import Any

from luthier.catalog import service as catalog
from luthier.deployments.entity import ADAPTER_CHANNEL, Deployment
from luthier.errors import Conflict, Unavailable
from luthier.inference.invoke import Invoker
from luthier.jobs.hyperparameters import MAX_LORA_RANK
from luthier.settings import Settings

_PROBE = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4, "temperature": 0}
# An endpoint in one of these will not answer any more.
_GONE = ("Failed", "OutOfService", "RollingBack", "Deleting")


class Endpoints:
    def __init__(self, sagemaker: Any, invoker: Invoker, settings: Settings) -> None:
        self._sagemaker = sagemaker
        self._invoker = invoker
        self._settings = settings

    def create(self, deployment: Deployment, model_uri: str) -> None:
        """Create model, configuration and endpoint; each may be there from an earlier try of this step."""
        name = deployment.endpoint_name
        tags = [{"Key": "luthier:organization", "Value": deployment.organization_id}]
        variant = {
            "VariantName": "main",
            "ModelName": name,
            "InitialInstanceCount": 1,
            "InstanceType": catalog.find_hardware(deployment.hardware).instance_types[0],
            "ContainerStartupHealthCheckTimeoutInSeconds": 1800,
            "ModelDataDownloadTimeoutInSeconds": 1800,
        }
        self._once(
            self._sagemaker.create_model,
            ModelName=name,
            ExecutionRoleArn=self._settings.serving_role_arn,
            PrimaryContainer=_container(deployment, model_uri, self._settings.serving_image),
            EnableNetworkIsolation=True,
            Tags=tags,
        )
        self._once(
            self._sagemaker.create_endpoint_config,
            EndpointConfigName=name,
            ProductionVariants=[variant],
            Tags=tags,
        )
        self._once(self._sagemaker.create_endpoint, EndpointName=name, EndpointConfigName=name, Tags=tags)

    def is_there(self, deployment: Deployment) -> bool:
        """Whether SageMaker still has the endpoint, in service or on its way there."""
        try:
            described = self._sagemaker.describe_endpoint(EndpointName=deployment.endpoint_name)
        except self._sagemaker.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "ValidationException":
                return False
            raise
        return described["EndpointStatus"] not in _GONE

    def status(self, deployment: Deployment) -> str:
        """EndpointStatus. Raises Conflict when SageMaker has given up."""
        described = self._sagemaker.describe_endpoint(EndpointName=deployment.endpoint_name)
        if described["EndpointStatus"] in _GONE:
            raise Conflict(
                f"The endpoint did not come up: {described.get('FailureReason', described['EndpointStatus'])}",
                code="deployment_failed",
                remedy="The endpoint's log group tells more; then deploy again.",
            )
        return described["EndpointStatus"]

    def probe(self, deployment: Deployment) -> None:
        """Ask one short question. Raises Unavailable unless a choice comes back."""
        answer = self._invoker.chat(deployment, dict(_PROBE))
        if not answer.get("choices"):
            raise Unavailable(f"The endpoint answered the probe without a choice: {json.dumps(answer)[:200]}")

    def remove(self, deployment: Deployment) -> None:
        """Delete what `create` made; what is not there is fine."""
        name = deployment.endpoint_name
        for delete, argument in (
            (self._sagemaker.delete_endpoint, "EndpointName"),
            (self._sagemaker.delete_endpoint_config, "EndpointConfigName"),
            (self._sagemaker.delete_model, "ModelName"),
        ):
            try:
                delete(**{argument: name})
            except self._sagemaker.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "ValidationException":
                    raise

    def _once(self, create: Any, **request: Any) -> None:
        try:
            create(**request)
        except self._sagemaker.exceptions.ClientError as error:
            already = "already exist" in error.response["Error"]["Message"].casefold()
            if error.response["Error"]["Code"] != "ValidationException" or not already:
                raise


def _container(deployment: Deployment, model_uri: str, image: str) -> dict[str, Any]:
    """The container as LMI (vLLM) reads it: OPTION_* become engine arguments."""
    container: dict[str, Any] = {
        "Image": image,
        "ModelDataSource": {"S3DataSource": _prefix(deployment.own_model_uri or model_uri)},
        "Environment": {"HF_MODEL_ID": "/opt/ml/model", "OPTION_ROLLING_BATCH": "disable"},
    }
    if deployment.adapter_uri:
        source = {"ChannelName": ADAPTER_CHANNEL, "S3DataSource": _prefix(deployment.adapter_uri)}
        container["AdditionalModelDataSources"] = [source]
        container["Environment"] |= {
            "OPTION_ENABLE_LORA": "true",
            "OPTION_MAX_LORA_RANK": str(MAX_LORA_RANK),
            # A directory of adapters, each named by its folder: here the one that SageMaker mounts by its channel.
            "OPTION_ADAPTERS": "/opt/ml/additional-model-data-sources",
        }
    return container


def _prefix(uri: str) -> dict[str, str]:
    return {"S3DataType": "S3Prefix", "S3Uri": uri.rstrip("/") + "/", "CompressionType": "None"}
