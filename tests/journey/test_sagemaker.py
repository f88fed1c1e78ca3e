"""The SageMaker plug-in, as boto3 and Step Functions see it, with a stand-in for the container."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.journey.local_cloud import LocalCloud, wait_for

STAND_IN = Path(__file__).with_name("stand_in_trainer.py")
FINAL = ("Completed", "Failed", "Stopped")
_numbers = itertools.count(1)


class Trainings:
    """Training jobs under the stack's training role, in its artifacts bucket."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.sagemaker, self.s3, self.logs = (cloud.aws(name) for name in ("sagemaker", "s3", "logs"))
        self.bucket = cloud.environment["LUTHIER_ARTIFACTS_BUCKET"]
        roles = cloud.aws("iam").get_paginator("list_roles").paginate()
        found = [role["Arn"] for page in roles for role in page["Roles"] if "SageMakerTraining" in role["RoleName"]]
        self.role = found[0]

    def request(self, behaviour: str, **changes: Any) -> dict[str, Any]:
        name = f"plugin-{next(_numbers)}"
        place = f"s3://{self.bucket}/org_test/jobs/{name}"
        return {
            "TrainingJobName": name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {
                "TrainingImage": "trainer", "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python", str(STAND_IN)],
            },
            "Environment": {"BEHAVIOUR": behaviour},
            "CheckpointConfig": {"S3Uri": f"{place}/checkpoints"},
            "OutputDataConfig": {"S3OutputPath": f"{place}/output", "CompressionType": "NONE"},
            "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "EnableNetworkIsolation": True,
            **changes,
        }  # fmt: skip

    def start(self, behaviour: str, **changes: Any) -> str:
        request = self.request(behaviour, **changes)
        self.sagemaker.create_training_job(**request)
        return str(request["TrainingJobName"])

    def describe(self, name: str) -> dict[str, Any]:
        return dict(self.sagemaker.describe_training_job(TrainingJobName=name))

    def run(self, behaviour: str, **changes: Any) -> dict[str, Any]:
        return self.end(self.start(behaviour, **changes))

    def end(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job = self.describe(name)
            return job if job["TrainingJobStatus"] in FINAL else None

        return dict(wait_for(look, 20, f"the end of {name}"))

    def training(self, name: str) -> None:
        wait_for(lambda: self.describe(name)["SecondaryStatus"] == "Training", 20, f"{name} trains")
        wait_for(lambda: self.lines(name), 20, f"{name} has begun")

    def lines(self, name: str) -> list[str]:
        group, events = "/aws/sagemaker/TrainingJobs", []
        streams = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
        for stream in streams:
            events += self.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        return [event["message"] for event in events]

    def read(self, uri: str) -> str:
        key = uri.removeprefix(f"s3://{self.bucket}/")
        return str(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode())


@pytest.fixture(scope="module")
def trainings(cloud: LocalCloud) -> Trainings:
    return Trainings(cloud)


def _refusal(call: Any, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return dict(refused.value.response["Error"])


def test_a_job_reads_its_channels_and_uploads_its_model(trainings: Trainings) -> None:
    trainings.s3.put_object(Bucket=trainings.bucket, Key="org_test/jobs/input/train.jsonl", Body=b"row\n")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{trainings.bucket}/org_test/jobs/input/"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}

    job = trainings.run("completes", InputDataConfig=[channel])

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    statuses = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    card = json.loads(trainings.read(f"{job['ModelArtifacts']['S3ModelArtifacts']}card.json"))
    assert card["inputs"] == {"train/train.jsonl": "row\n"}
    assert trainings.lines(job["TrainingJobName"]) == ['{"level": "info", "message": "step 1"}']


def test_an_isolated_job_is_given_no_credentials(trainings: Trainings) -> None:
    job = trainings.run("completes")

    assert json.loads(trainings.read(f"{job['ModelArtifacts']['S3ModelArtifacts']}card.json"))["aws"] == []


def test_checkpoints_come_back_at_the_next_start(trainings: Trainings) -> None:
    first = trainings.run("completes")
    second = trainings.run("completes", CheckpointConfig=first["CheckpointConfig"])

    assert trainings.lines(second["TrainingJobName"]) == ['{"level": "info", "message": "step 2"}']


def test_the_failure_file_becomes_the_reason_cut_at_1024_characters(trainings: Trainings) -> None:
    job = trainings.run("fails")

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith('AlgorithmError: {"code": "bad_dataset"')
    assert job["FailureReason"].endswith(", exit code: 1")
    assert len(job["FailureReason"]) == 1024


def test_a_stopped_job_ends_stopped(trainings: Trainings) -> None:
    name = trainings.start("hangs")
    trainings.training(name)

    trainings.sagemaker.stop_training_job(TrainingJobName=name)

    assert trainings.describe(name)["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert trainings.end(name)["TrainingJobStatus"] == "Stopped"
    refusal = _refusal(trainings.sagemaker.stop_training_job, TrainingJobName=name)
    assert refusal["Code"] == "ValidationException"


def test_a_job_that_outruns_its_limit_is_stopped(trainings: Trainings) -> None:
    job = trainings.run("hangs", StoppingCondition={"MaxRuntimeInSeconds": 1})

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_lost_machine_fails_the_job_and_says_so(trainings: Trainings) -> None:
    name = trainings.start("hangs")
    trainings.training(name)

    tag = {"Key": "luthier-local:interrupt-after-seconds", "Value": "0"}
    trainings.sagemaker.add_tags(ResourceArn=trainings.describe(name)["TrainingJobArn"], Tags=[tag])

    job = trainings.end(name)
    assert job["TrainingJobStatus"] == "Failed"
    assert '"code": "interrupted"' in job["FailureReason"]


def test_a_training_role_cannot_read_another_place(trainings: Trainings) -> None:
    trainings.s3.put_object(Bucket=trainings.bucket, Key="elsewhere/secret.txt", Body=b"x")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{trainings.bucket}/elsewhere/"}

    job = trainings.run("completes", InputDataConfig=[{"ChannelName": "x", "DataSource": {"S3DataSource": source}}])

    assert job["TrainingJobStatus"] == "Failed"
    assert "403" in job["FailureReason"] or "AccessDenied" in job["FailureReason"]


def test_a_job_whose_model_cannot_be_uploaded_ends_failed(trainings: Trainings) -> None:
    output = {"S3OutputPath": "s3://a-bucket-that-is-not-there/output", "CompressionType": "NONE"}
    job = trainings.run("completes", OutputDataConfig=output)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError")


def test_a_name_is_used_once(trainings: Trainings) -> None:
    request = trainings.request("completes")
    trainings.sagemaker.create_training_job(**request)

    with pytest.raises(trainings.sagemaker.exceptions.ResourceInUse):
        trainings.sagemaker.create_training_job(**request)
    trainings.end(request["TrainingJobName"])


def test_an_unknown_job_is_refused_as_the_service_does(trainings: Trainings) -> None:
    for operation in (trainings.sagemaker.describe_training_job, trainings.sagemaker.stop_training_job):
        assert _refusal(operation, TrainingJobName="nobody") == {
            "Code": "ValidationException",
            "Message": "Requested resource not found.",
        }


def test_a_request_against_the_model_names_every_breach(trainings: Trainings) -> None:
    machine = {"InstanceType": "ml.abacus", "InstanceCount": 1, "VolumeSizeInGB": 10}
    wrong = trainings.request("completes", TrainingJobName="under_score", ResourceConfig=machine)

    refusal = _refusal(trainings.sagemaker.create_training_job, **wrong)

    assert refusal["Code"] == "ValidationException"
    assert refusal["Message"].startswith("2 validation errors detected: ")
    assert "at 'trainingJobName' failed to satisfy constraint" in refusal["Message"]
    assert (
        "at 'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy enum" in refusal["Message"]
    )


def test_jobs_are_listed_newest_first_page_by_page(trainings: Trainings) -> None:
    names = [trainings.start("completes") for _ in range(3)]
    list_jobs = trainings.sagemaker.list_training_jobs

    first = list_jobs(NameContains="plugin-", MaxResults=2)
    second = list_jobs(NameContains="plugin-", MaxResults=2, NextToken=first["NextToken"])

    listed = [job["TrainingJobName"] for page in (first, second) for job in page["TrainingJobSummaries"]]
    assert listed[:3] == names[::-1]
    for name in names:
        trainings.end(name)


def test_an_unknown_endpoint_is_refused_as_the_service_does(cloud: LocalCloud) -> None:
    described = _refusal(cloud.aws("sagemaker").describe_endpoint, EndpointName="nobody")
    invoked = _refusal(cloud.aws("sagemaker-runtime").invoke_endpoint, EndpointName="nobody", Body=b"{}")

    assert described["Code"] == "ValidationException"
    assert described["Message"].startswith('Could not find endpoint "arn:aws:sagemaker:')
    assert invoked["Code"] == "ValidationError"


def test_a_state_machine_waits_for_its_training_job(trainings: Trainings, cloud: LocalCloud) -> None:
    machine = _Machine(trainings, cloud)
    try:
        completed, failed = machine.run("completes"), machine.run("fails")
        refused = machine.run("completes", RoleArn="no-role")
    finally:
        machine.remove()

    assert completed["result"]["TrainingJobStatus"] == "Completed"
    assert isinstance(completed["result"]["CreationTime"], int)
    assert failed["error"]["Error"] == "States.TaskFailed"
    assert json.loads(failed["error"]["Cause"])["TrainingJobStatus"] == "Failed"
    assert refused["error"]["Error"] == "SageMaker.AmazonSageMakerException"


class _Machine:
    """A state machine whose only state trains; its output is the result, or the error that was caught."""

    _DEFINITION = {
        "QueryLanguage": "JSONata",
        "StartAt": "Train",
        "States": {
            "Train": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
                "Arguments": "{% $states.input %}",
                "Output": "{% {'result': $states.result} %}",
                "Catch": [
                    {"ErrorEquals": ["States.ALL"], "Output": "{% {'error': $states.errorOutput} %}", "Next": "End"}
                ],
                "Next": "End",
            },
            "End": {"Type": "Succeed"},
        },
    }

    def __init__(self, trainings: Trainings, cloud: LocalCloud) -> None:
        self._trainings = trainings
        self._states = cloud.aws("stepfunctions")
        machine = self._states.create_state_machine(
            name="plugin", definition=json.dumps(self._DEFINITION), roleArn=trainings.role
        )
        self._arn = machine["stateMachineArn"]

    def run(self, behaviour: str, **changes: Any) -> dict[str, Any]:
        request = json.dumps(self._trainings.request(behaviour, **changes))
        execution = self._states.start_execution(stateMachineArn=self._arn, input=request)["executionArn"]

        def look() -> dict[str, Any] | None:
            described = self._states.describe_execution(executionArn=execution)
            return described if described["status"] != "RUNNING" else None

        return dict(json.loads(wait_for(look, 20, "the execution's end")["output"]))

    def remove(self) -> None:
        self._states.delete_state_machine(stateMachineArn=self._arn)
