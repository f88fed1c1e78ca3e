"""The functions of the catalogue: one asset, two layers, one role each."""

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import Aws, Duration, IgnoreMode, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.acknowledgements import TRACING, acknowledge, acknowledge_wildcards
from infra.components.permissions import Words, statements, wildcards
from infra.flavours import Flavour
from infra.naming import physical_name
from infra.rows import Function
from luthier.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent

# The asset keeps the `functions.` package name and holds nothing else: a `luthier/` in it would hide the layer's.
_ONLY_FUNCTIONS = [
    "/*",
    "!/functions/",
    "/functions/**",
    "!/functions/**/",
    "!/functions/**/*.py",
    "!/functions/**/*.json",
    "!/functions/**/*.sh",
    "__pycache__/",
]

# The Lambda Web Adapter: a function that is an HTTP server, whose answers stream.
# https://github.com/awslabs/aws-lambda-web-adapter
_ADAPTER = f"arn:aws:lambda:{Aws.REGION}:753240598075:layer:LambdaAdapterLayerArm64:27"
_ADAPTED = {
    "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
    "AWS_LWA_INVOKE_MODE": "response_stream",
    "AWS_LWA_READINESS_CHECK_PROTOCOL": "tcp",
}


def _adapted(row: Function) -> dict[str, str]:
    """What the adapter reads, and the program that it starts."""
    return {**_ADAPTED, "LUTHIER_SURFACE": row.name}


class Functions(Construct):
    """Makes functions one at a time, because some need the state machines that call others."""

    def __init__(self, scope: Construct, construct_id: str, *, flavour: Flavour, deps: Path, key_arn: str) -> None:
        super().__init__(scope, construct_id)
        self._flavour = flavour
        self._key_arn = key_arn
        self._code = lambda_.Code.from_asset(str(ROOT), exclude=_ONLY_FUNCTIONS, ignore_mode=IgnoreMode.GIT)
        self._layers = [
            self._layer("Core", ROOT / "layers" / "core", ["__pycache__/"], "Luthier's own modules"),
            # Its bytecode was put there on purpose.
            self._layer("Deps", deps, [], "Pinned third-party packages"),
        ]
        self._adapter = lambda_.LayerVersion.from_layer_version_arn(self, "WebAdapter", _ADAPTER)
        self.by_name: dict[str, lambda_.Function] = {}
        acknowledge(self, "L1", "The layer's wheels are built and tested for this Python; Lambda supports it to 2029.")

    def add(self, row: Function, words: Words, settings: Mapping[str, str]) -> lambda_.Function:
        """The function of one row; `words` resolve its grants, `settings` hold the value of each field it may see."""
        log_group = self._log_group(row)
        adapted = row.streams and self._flavour.streams
        function = lambda_.Function(
            self,
            row.pascal_name,
            function_name=physical_name(self, row.physical_name),
            description=f"Luthier: {row.folder}/{row.name}",
            runtime=self._flavour.runtime,
            architecture=self._flavour.architecture,
            handler="functions/api/serve.sh" if adapted else row.handler,
            code=self._code,
            layers=[*self._layers, self._adapter] if adapted else self._layers,
            memory_size=row.memory,
            timeout=Duration.seconds(row.timeout),
            environment=_environment(row, settings) | (_adapted(row) if adapted else {}),
            role=self._role(row, words, log_group),
            log_group=log_group,
            tracing=lambda_.Tracing.ACTIVE,
        )
        self.by_name[row.name] = function
        return function

    def _layer(self, name: str, folder: Path, exclude: list[str], description: str) -> lambda_.LayerVersion:
        return lambda_.LayerVersion(
            self,
            name,
            code=lambda_.Code.from_asset(str(folder), exclude=exclude, ignore_mode=IgnoreMode.GIT),
            compatible_runtimes=[self._flavour.runtime],
            compatible_architectures=[self._flavour.architecture],
            description=description,
        )

    def _log_group(self, row: Function) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            f"{row.pascal_name}Logs",
            log_group_name=f"/aws/lambda/{physical_name(self, row.physical_name)}",
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _role(self, row: Function, words: Words, log_group: logs.LogGroup) -> iam.IRole:
        role = iam.Role(
            self,
            f"{row.pascal_name}Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={
                name: iam.PolicyDocument(statements=granted)
                for name, granted in {
                    "Grants": statements(row, words, self._key_arn),
                    "Host": _host(log_group),
                }.items()
                if granted
            },
        )
        acknowledge_wildcards(role, {"*": TRACING, **wildcards(row, words)})
        # What a function may do stands in the catalogue; no construct adds to it behind its back.
        return role.without_policy_updates()


def _environment(row: Function, settings: Mapping[str, str]) -> dict[str, str]:
    named = {Settings.environment_name(name): settings[name] for name in row.env}
    return {"POWERTOOLS_SERVICE_NAME": row.name, **named}


def _host(log_group: logs.LogGroup) -> list[iam.PolicyStatement]:
    """What Lambda needs on behalf of every function: its own log group, and traces."""
    return [
        iam.PolicyStatement(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]),
        iam.PolicyStatement(actions=["xray:PutTelemetryRecords", "xray:PutTraceSegments"], resources=["*"]),
    ]
