"""Inference components, as boto3 sees them: the real server with the tiny model, and adapters of a completed job."""

import contextlib
import io
import json
import os
import signal
import tarfile
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.journey.local_cloud import MODEL, LocalCloud, wait_for

QUESTION = {"messages": [{"role": "user", "content": "My parcel has not arrived, it can wait."}], "temperature": 0}
NAMES = ("adapter_config.json", "adapter_model.safetensors")


class Site:
    """One endpoint with the tiny model on it, under the stack's serving role."""

    def __init__(self, cloud: LocalCloud, name: str, adapter: dict[str, bytes]) -> None:
        self.name, self.base = name, f"{name}-base"
        self.sagemaker, self.runtime = cloud.aws("sagemaker"), cloud.aws("sagemaker-runtime")
        self.scaling, self._s3 = cloud.aws("application-autoscaling"), cloud.aws("s3")
        self._bucket = cloud.environment["LUTHIER_ARTIFACTS_BUCKET"]
        self._adapter = adapter
        roles = cloud.aws("iam").get_paginator("list_roles").paginate()
        [role] = [row["Arn"] for page in roles for row in page["Roles"] if "SageMakerServing" in row["RoleName"]]
        self._role = role
        bucket = cloud.environment["LUTHIER_BASE_MODELS_BUCKET"]
        keys = [row["Key"] for row in self._s3.list_objects_v2(Bucket=bucket, Prefix=f"{MODEL}/")["Contents"]]
        [manifest] = [key for key in keys if key.endswith("manifest.json")]
        self._models = f"s3://{bucket}/{manifest.removesuffix('manifest.json')}"

    def create(self) -> None:
        source = {"S3DataType": "S3Prefix", "S3Uri": self._models, "CompressionType": "None"}
        container = {"Image": "serving", "ModelDataSource": {"S3DataSource": source}}
        variant = {"VariantName": "main", "InstanceType": "ml.g5.2xlarge", "InitialInstanceCount": 1}
        self.sagemaker.create_model(ModelName=self.base, ExecutionRoleArn=self._role, PrimaryContainer=container)
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=self.name, ProductionVariants=[variant], ExecutionRoleArn=self._role
        )
        self.sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=self.name)

    def add_base(self) -> None:
        needs = {"NumberOfCpuCoresRequired": 1, "MinMemoryRequiredInMb": 1024}
        self.sagemaker.create_inference_component(
            InferenceComponentName=self.base, EndpointName=self.name, VariantName="main",
            Specification={"ModelName": self.base, "ComputeResourceRequirements": needs},
            RuntimeConfig={"CopyCount": 1},
        )  # fmt: skip

    def add_adapter(self, name: str, **changed: bytes) -> None:
        key = f"org_test/jobs/{self.name}/{name}.tar.gz"
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=archive(self._adapter | changed))
        self.sagemaker.create_inference_component(
            InferenceComponentName=name, EndpointName=self.name,
            Specification={
                "BaseInferenceComponentName": self.base,
                "Container": {"ArtifactUrl": f"s3://{self._bucket}/{key}"},
            },
        )  # fmt: skip

    def status(self, name: str) -> str:
        return str(self.sagemaker.describe_inference_component(InferenceComponentName=name)["InferenceComponentStatus"])

    def wait(self, name: str, status: str = "InService") -> dict[str, Any]:
        wait_for(lambda: self.status(name) in (status, "Failed"), 60, f"{name} is {status}")
        described = self.sagemaker.describe_inference_component(InferenceComponentName=name)
        assert described["InferenceComponentStatus"] == status, described
        return dict(described)

    def ask(self, component: str, **changes: Any) -> str:
        answer = self.runtime.invoke_endpoint(
            EndpointName=self.name, InferenceComponentName=component, ContentType="application/json",
            Body=json.dumps(QUESTION | changes).encode(),
        )  # fmt: skip
        return str(json.loads(answer["Body"].read())["choices"][0]["message"]["content"])

    def refusal(self, component: str) -> dict[str, Any]:
        with pytest.raises(ClientError) as refused:
            self.ask(component)
        return dict(refused.value.response["Error"])

    def delete(self, *components: str) -> None:
        for name in components:
            self.sagemaker.delete_inference_component(InferenceComponentName=name)
            wait_for(lambda name=name: self._is_gone(name), 30, f"{name} is gone")

    def _is_gone(self, name: str) -> bool:
        found = self.sagemaker.list_inference_components(NameContains=name)["InferenceComponents"]
        return name not in [row["InferenceComponentName"] for row in found]


def archive(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def servers(cloud: LocalCloud, site: Site) -> list[int]:
    return cloud.servers(site.base)


@pytest.fixture(scope="module")
def adapter(cloud: LocalCloud, completed: dict[str, Any]) -> dict[str, bytes]:
    """The files of the adapter that a job has trained."""
    s3, bucket = cloud.aws("s3"), cloud.environment["LUTHIER_ARTIFACTS_BUCKET"]
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    found = {}
    for name in NAMES:
        key = next(key for key in keys if key.endswith(f"/model/{name}"))
        found[name] = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return found


@pytest.fixture(scope="module")
def site(cloud: LocalCloud, adapter: dict[str, bytes]) -> Site:
    site = Site(cloud, "luthier-site", adapter)
    site.create()
    site.add_base()
    site.add_adapter("luthier-good")
    site.wait(site.base)
    site.wait("luthier-good")
    return site


def test_an_adapter_answers_beside_its_base_without_a_second_process(cloud: LocalCloud, site: Site) -> None:
    assert site.ask(site.base) != site.ask("luthier-good")
    before = servers(cloud, site)
    site.add_adapter("luthier-second")
    site.wait("luthier-second")
    assert site.ask("luthier-second") == site.ask("luthier-good")
    assert servers(cloud, site) == before
    assert len(before) == 1
    site.delete("luthier-second")
    assert servers(cloud, site) == before
    assert "not found" in site.refusal("luthier-second")["Message"]


def test_a_bad_adapter_fails_alone_and_says_why(site: Site) -> None:
    before = site.ask("luthier-good")
    site.add_adapter("luthier-bad", **{NAMES[1]: b"no weights"})
    assert "cannot be read" in site.wait("luthier-bad", "Failed")["FailureReason"]
    assert site.ask("luthier-good") == before
    site.delete("luthier-bad")


def test_a_killed_server_comes_back_with_every_adapter(cloud: LocalCloud, site: Site) -> None:
    before = site.ask("luthier-good")
    [pid] = servers(cloud, site)
    os.kill(pid, signal.SIGKILL)
    refusals: set[str] = set()

    def answers() -> bool:
        try:
            return site.ask("luthier-good") == before
        except ClientError as refused:
            refusals.add(refused.response["Error"]["Code"])
            return False

    wait_for(answers, 60, "the adapter answers again")
    assert refusals <= {"ServiceUnavailable", "ModelError"}
    assert servers(cloud, site) != [pid]


def test_what_others_stand_on_is_not_deleted(site: Site) -> None:
    for delete, name in (
        (site.sagemaker.delete_endpoint, {"EndpointName": site.name}),
        (site.sagemaker.delete_inference_component, {"InferenceComponentName": site.base}),
    ):
        with pytest.raises(ClientError, match="Delete them first"):
            delete(**name)


def test_requests_name_a_component_that_is_there(site: Site) -> None:
    with pytest.raises(ClientError, match="Inference Component Name header is required"):
        site.runtime.invoke_endpoint(EndpointName=site.name, Body=b"{}")
    assert site.refusal("luthier-nobody")["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="Could not find inference component"):
        site.sagemaker.describe_inference_component(InferenceComponentName="luthier-nobody")
    with pytest.raises(ClientError, match="Cannot create already existing"):
        site.add_adapter("luthier-good")


def test_a_component_without_copies_refuses_and_wakes_where_a_step_policy_is_there(
    cloud: LocalCloud, site: Site
) -> None:
    before = site.ask("luthier-good")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"inference-component/{site.base}",
        "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
    }
    with pytest.raises(ClientError, match="No scalable target"):
        site.scaling.put_scaling_policy(**target, PolicyName="early", PolicyType="StepScaling")
    site.scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=2)
    tracking = {"TargetValue": 5.0, "ScaleInCooldown": 60, "PredefinedMetricSpecification": {
        "PredefinedMetricType": "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"}}  # fmt: skip
    site.scaling.put_scaling_policy(
        **target, PolicyName="load", PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=tracking,
    )  # fmt: skip
    wait_for(lambda: not servers(cloud, site), 60, "the idle component sleeps")
    assert "has no capacity" in site.refusal("luthier-good")["Message"]
    time.sleep(0.5)
    assert not servers(cloud, site)
    wake = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": [{"ScalingAdjustment": 1}]}
    site.scaling.put_scaling_policy(
        **target, PolicyName="wake", PolicyType="StepScaling", StepScalingPolicyConfiguration=wake
    )
    assert "has no capacity" in site.refusal("luthier-good")["Message"]
    site.scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    refusals: set[str] = set()

    def answers() -> bool:
        try:
            return site.ask("luthier-good") == before
        except ClientError as refused:
            refusals.add(refused.response["Error"]["Message"])
            return False

    wait_for(answers, 60, "it is awake with its adapter")
    # Nobody who asks while it wakes is told that it is broken.
    assert all("has no capacity" in message for message in refusals)
    assert refusals
    named = {"ServiceNamespace": "sagemaker", "ResourceId": target["ResourceId"]}
    assert len(site.scaling.describe_scaling_policies(**named)["ScalingPolicies"]) == 2
    site.scaling.deregister_scalable_target(**target)
    assert site.scaling.describe_scaling_policies(**named)["ScalingPolicies"] == []


def test_a_component_that_is_woken_while_it_falls_asleep_wakes(site: Site) -> None:
    before = site.ask("luthier-good")
    for copies in (0, 1):
        site.sagemaker.update_inference_component_runtime_config(
            InferenceComponentName=site.base, DesiredRuntimeConfig={"CopyCount": copies}
        )

    def answers() -> bool:
        with contextlib.suppress(ClientError):
            return site.ask("luthier-good") == before
        return False

    wait_for(answers, 60, "it is awake")


def test_a_server_that_keeps_dying_is_given_up(cloud: LocalCloud, site: Site) -> None:
    for _ in range(4):
        wait_for(lambda: servers(cloud, site), 60, "the server is back")
        [pid] = servers(cloud, site)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda killed=pid: servers(cloud, site) != [killed], 60, "it is gone")
    assert "ping health check" in site.wait(site.base, "Failed")["FailureReason"]
    assert site.refusal("luthier-good")["Code"] == "ServiceUnavailable"


def test_everything_goes_in_its_order_and_leaves_no_process(cloud: LocalCloud, site: Site) -> None:
    site.delete("luthier-good", site.base)
    assert not servers(cloud, site)
    site.sagemaker.delete_endpoint(EndpointName=site.name)
    site.sagemaker.delete_endpoint_config(EndpointConfigName=site.name)
    models = site.sagemaker.list_models(NameContains=site.name)["Models"]
    assert [row["ModelName"] for row in models] == [site.base]
    site.sagemaker.delete_model(ModelName=site.base)
