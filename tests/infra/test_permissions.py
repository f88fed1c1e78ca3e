"""Least privilege: nobody may do more than the catalogue says."""

import re

import pytest

from infra import catalog
from tests.infra.template import Resource, Template, allowed

# Actions that AWS cannot bind to a resource.
UNBOUND = {
    "cloudwatch:PutMetricData",
    "dynamodb:ListStreams",
    "ecr:GetAuthorizationToken",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "sagemaker:ListInferenceComponents",
    "sagemaker:ListModels",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
HOST = {"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}
# Who makes training jobs and models.
HANDING = {"FunctionsPlaceDeployment", "FunctionsSweepStuckJobs", "Training", "Deployment", "Processing"}
KEY = {"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"}


def test_no_permission_names_its_action_with_a_wildcard(template: Template) -> None:
    assert not [(role, s["Action"]) for role, s in template.all_statements() if any("*" in a for a in s["Action"])]


def test_only_actions_that_cannot_be_bound_are_granted_on_everything(template: Template) -> None:
    for role, statement in template.all_statements():
        if "*" in statement["Resource"]:
            assert set(statement["Action"]) <= UNBOUND, role


def test_no_policy_stands_beside_the_roles_of_the_functions(template: Template) -> None:
    assert not template.of_type("AWS::IAM::Policy")
    for row in catalog.FUNCTIONS:
        assert "ManagedPolicyArns" not in template.role_of(f"{row.folder}.{row.name}")


@pytest.mark.parametrize("row", catalog.FUNCTIONS, ids=lambda row: row.name)
def test_a_function_may_do_what_its_row_grants_and_nothing_else(row: catalog.Function, template: Template) -> None:
    statements = template.statements(template.role_of(f"{row.folder}.{row.name}"))
    granted = {action for statement in statements for action in statement["Action"]}
    assert granted - HOST - KEY == {action for grant in row.grants for action in grant.actions}


def test_functions_use_the_key_only_through_the_table_and_the_buckets(template: Template) -> None:
    for row in catalog.FUNCTIONS:
        for statement in template.statements(template.role_of(f"{row.folder}.{row.name}")):
            if "kms:Decrypt" in statement["Action"]:
                services = statement["Condition"]["StringEquals"]["kms:ViaService"]
                assert [service["Fn::Join"][1][0] for service in services] == ["dynamodb.", "s3."]


def test_a_role_is_only_ever_handed_to_sagemaker(template: Template) -> None:
    handing = [(role, s) for role, s in template.all_statements() if "iam:PassRole" in s["Action"]]
    assert {role.split("Role")[0] for role, _ in handing} == HANDING
    for _, statement in handing:
        assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        assert all(resource.startswith("<SageMaker") for resource in statement["Resource"])


def test_the_training_role_reads_its_inputs_and_writes_its_outputs_and_nothing_else(template: Template) -> None:
    statements = template.statements(template.named("AWS::IAM::Role", "SageMakerTraining"))
    readable, writable = allowed(statements, "s3:GetObject"), allowed(statements, "s3:PutObject")
    assert {_place(arn) for arn in readable} == {
        "StorageData/*/jobs/*",
        "StorageBaseModels/*",
        "StorageArtifacts/*/jobs/*",
    }
    assert [_place(arn) for arn in writable] == ["StorageArtifacts/*/jobs/*"]
    services = {action.split(":")[0] for statement in statements for action in statement["Action"]}
    assert services == {"s3", "kms", "logs", "ecr", "cloudwatch"}


def test_the_processing_role_writes_only_beside_what_was_trained(template: Template) -> None:
    statements = template.statements(template.named("AWS::IAM::Role", "SageMakerProcessing"))
    readable, writable = allowed(statements, "s3:GetObject"), allowed(statements, "s3:PutObject")
    assert {_place(arn) for arn in readable if ".Arn>" in arn} == {
        "StorageData/*/files/*",
        "StorageData/.imports/*",
        "StorageBaseModels/*",
        "StorageArtifacts/*/jobs/*",
    }
    assert [_place(arn) for arn in writable] == ["StorageArtifacts/*/jobs/processing/*"]


def test_a_state_machine_starts_only_jobs_of_its_own_kind(template: Template) -> None:
    kinds = {"Training": {"ftjob", "stage"}, "Deployment": {"stage"}, "Processing": {"proc", "stage"}}
    for machine, expected in kinds.items():
        statements = template.statements(template.named("AWS::IAM::Role", f"{machine}Role"))
        created = {arn.rpartition("/")[2] for arn in allowed(statements, "sagemaker:CreateTrainingJob")}
        assert created == {f"{kind}-*" for kind in expected}


def test_the_hubs_token_is_read_by_whoever_asks_the_hub_and_by_nobody_else(template: Template) -> None:
    readers = {role[:-8] for role, statement in template.all_statements() if _reads_secrets(statement)}
    functions = {"FunctionsFineTuningRole", "FunctionsTuningRole", "FunctionsOpenaiFineTuningRole"}
    assert readers == {"SageMakerStaging", *functions}


def test_only_the_staging_role_writes_base_models(template: Template) -> None:
    writers = {
        role
        for role, statement in template.all_statements()
        if "s3:PutObject" in statement["Action"] and any("BaseModels" in arn for arn in statement["Resource"])
    }
    assert [role.startswith("SageMakerStaging") for role in writers] == [True]


def test_the_serving_role_writes_no_object(template: Template) -> None:
    statements = template.statements(template.named("AWS::IAM::Role", "SageMakerServing"))
    assert not allowed(statements, "s3:PutObject")


def test_sagemakers_roles_are_assumed_for_this_account_only(template: Template) -> None:
    for name, role in template.of_type("AWS::IAM::Role").items():
        if name.startswith("SageMaker"):
            [trust] = role["AssumeRolePolicyDocument"]["Statement"]
            assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_a_state_machine_calls_only_the_steps_that_its_file_names(template: Template) -> None:
    statements = template.statements(template.named("AWS::IAM::Role", "DeploymentRole"))
    called = {
        arn.removeprefix("<Functions").split("Step")[0][:-13] for arn in allowed(statements, "lambda:InvokeFunction")
    }
    assert called == {row.pascal_name for row in (catalog.STAGING_STEP, *catalog.DEPLOYMENT_STEPS)}


def _reads_secrets(statement: Resource) -> bool:
    return "secretsmanager:GetSecretValue" in statement["Action"]


def _place(arn: str) -> str:
    """`<StorageData6BB23F4E.Arn>/x` as `StorageData/x`."""
    bucket, _, key = arn.partition(".Arn>")
    return bucket.removeprefix("<")[:-8] + key


def test_foreign_buckets_are_read_by_whoever_takes_from_them_and_written_by_nobody(template: Template) -> None:
    touching = {
        (re.split("Role|[0-9A-F]{8}$", role)[0], action)
        for role, statement in template.all_statements()
        if any("their-data" in resource for resource in statement["Resource"])
        for action in statement["Action"]
    }
    functions = ("FineTuning", "OpenaiFineTuning", "Tuning", "TrainingModels")
    readers = (*(f"Functions{name}" for name in functions), "SageMakerProcessing")
    reading = {(role, action) for role in readers for action in ("s3:GetObject", "s3:ListBucket")}
    assert touching == reading | {("SageMakerProcessing", "s3:GetBucketLocation")}
