"""The state machines: ASL files of `functions/pipeline`, with the ARNs put in."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import Aws, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.acknowledgements import acknowledge_wildcards
from infra.components.permissions import training_job_arn
from infra.naming import physical_name

PIPELINE = Path(__file__).resolve().parent.parent.parent / "functions" / "pipeline"
_SYNC_RULE = (
    f"arn:{Aws.PARTITION}:events:{Aws.REGION}:{Aws.ACCOUNT_ID}:rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule"
)
_LOG_DELIVERY = [
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
]
_TRACING = [
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
]


class PipelineMachine(Construct):
    """One state machine. `substitutions` may hold more than this machine uses; each gets what its file names."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        substitutions: Mapping[str, str],
        functions: Mapping[str, lambda_.Function],
        sagemaker_roles: Mapping[str, iam.Role],
    ) -> None:
        super().__init__(scope, construct_id)
        definition = definition_of(name)
        used = placeholders(definition)
        called = [functions[key].function_arn for key in sorted(used & functions.keys())]
        passed = [sagemaker_roles[key].role_arn for key in sorted(used & sagemaker_roles.keys())]
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            state_machine_name=physical_name(self, name),
            definition_body=sfn.DefinitionBody.from_string(definition),
            definition_substitutions={key: substitutions[key] for key in sorted(used)},
            role=self._role(called, passed, _job_arns(name)).without_policy_updates(),
            logs=sfn.LogOptions(destination=self._log_group(name), level=sfn.LogLevel.ALL),
            tracing_enabled=True,
        )

    def _log_group(self, name: str) -> logs.LogGroup:
        # Step Functions keeps one resource policy for all groups below this prefix; others run into its length limit.
        return logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/vendedlogs/states/{physical_name(self, name)}",
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _role(self, functions: list[str], sagemaker_roles: list[str], jobs: list[str]) -> iam.Role:
        statements = [
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=functions),
            iam.PolicyStatement(actions=_LOG_DELIVERY + _TRACING, resources=["*"]),
        ]
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("states.amazonaws.com"),
            inline_policies={
                "Steps": iam.PolicyDocument(statements=statements),
                "TrainingJobs": iam.PolicyDocument(statements=_training_jobs(sagemaker_roles, jobs)),
            },
        )
        reasons = dict.fromkeys(jobs, "Jobs are named while the platform runs.")
        acknowledge_wildcards(role, {"*": "Log delivery and X-Ray have no resources to name."} | reasons)
        return role


def definition_of(name: str) -> str:
    """The ASL file of one machine as compact text."""
    return json.dumps(json.loads((PIPELINE / f"{name}.asl.json").read_text()), separators=(",", ":"))


def placeholders(definition: str) -> set[str]:
    """The names between `${` and `}`."""
    return set(re.findall(r"\$\{(\w+)\}", definition))


def _job_arns(machine: str) -> list[str]:
    """The SageMaker jobs that a machine creates: copies of base models, and those of its own kind."""
    own = {"training": ["ftjob"], "processing": ["proc"]}.get(machine, [])
    return [training_job_arn(kind) for kind in (*own, "stage")]


def _training_jobs(roles: list[str], jobs: list[str]) -> list[iam.PolicyStatement]:
    """What `sagemaker:createTrainingJob.sync` needs: the calls, the roles it hands over, and the rule it listens on."""
    return [
        iam.PolicyStatement(
            actions=[
                "sagemaker:AddTags",
                "sagemaker:CreateTrainingJob",
                "sagemaker:DescribeTrainingJob",
                "sagemaker:ListTags",
                "sagemaker:StopTrainingJob",
            ],
            resources=jobs,
        ),
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=roles,
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
        iam.PolicyStatement(
            actions=["events:DescribeRule", "events:PutRule", "events:PutTargets"], resources=[_SYNC_RULE]
        ),
    ]
