"""The functions of the catalogue: one asset, two layers, one role each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import Aws, Duration, IgnoreMode, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.catalog import Function
from infra.components.permissions import statements
from infra.flavours import Flavour
from infra.naming import physical_name

ROOT = Path(__file__).resolve().parent.parent.parent
LOG_RETENTION = logs.RetentionDays.THREE_MONTHS

# The asset keeps the `functions.` package name and holds nothing else: a `luthier/` in it would hide the layer's.
_ONLY_FUNCTIONS = [
    "/*",
    "!/functions/",
    "/functions/**",
    "!/functions/**/",
    "!/functions/**/*.py",
    "!/functions/**/*.json",
    "__pycache__/",
]


class Functions(Construct):
    """Makes functions one at a time, because some need the state machines that call others."""

    def __init__(self, scope: Construct, construct_id: str, *, flavour: Flavour, deps: Path, key_arn: str) -> None:
        super().__init__(scope, construct_id)
        self._flavour = flavour
        self._key_arn = key_arn
        self._code = lambda_.Code.from_asset(str(ROOT), exclude=_ONLY_FUNCTIONS, ignore_mode=IgnoreMode.GIT)
        self._layers = [
            self._layer("Core", ROOT / "layers" / "core", "Luthier's own modules"),
            self._layer("Deps", deps, "Pinned third-party packages"),
        ]
        self.by_name: dict[str, lambda_.Function] = {}

    def add(self, row: Function, words: Mapping[str, Sequence[str]], settings: Mapping[str, str]) -> lambda_.Function:
        """The function of one row; `words` resolve its grants, `settings` hold the value of each field it may see."""
        name = physical_name(self, row.physical_name)
        function = lambda_.Function(
            self,
            row.pascal_name,
            function_name=name,
            description=f"Luthier: {row.folder}/{row.name}",
            runtime=self._flavour.runtime,
            architecture=self._flavour.architecture,
            handler=row.handler,
            code=self._code,
            layers=self._layers,
            memory_size=row.memory,
            timeout=Duration.seconds(row.timeout),
            environment=_environment(row, settings),
            role=self._role(row, name, words),
            log_group=self._log_group(row, name),
            tracing=lambda_.Tracing.ACTIVE,
        )
        self.by_name[row.name] = function
        return function

    def _layer(self, name: str, folder: Path, description: str) -> lambda_.LayerVersion:
        return lambda_.LayerVersion(
            self,
            name,
            code=lambda_.Code.from_asset(str(folder), exclude=_caches(folder), ignore_mode=IgnoreMode.GIT),
            compatible_runtimes=[self._flavour.runtime],
            compatible_architectures=[self._flavour.architecture],
            description=description,
        )

    def _log_group(self, row: Function, name: str) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            f"{row.pascal_name}Logs",
            log_group_name=f"/aws/lambda/{name}",
            retention=LOG_RETENTION,
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _role(self, row: Function, name: str, words: Mapping[str, Sequence[str]]) -> iam.IRole:
        role = iam.Role(
            self,
            f"{row.pascal_name}Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={
                "Grants": iam.PolicyDocument(statements=statements(row, words, self._key_arn)),
                "Host": iam.PolicyDocument(statements=_host(name)),
            },
        )
        # What a function may do stands in the catalogue; no construct adds to it behind its back.
        return role.without_policy_updates()


def _caches(folder: Path) -> list[str]:
    """Bytecode is left out of the source layer and kept where the build put it on purpose."""
    return ["__pycache__/"] if folder.is_relative_to(ROOT / "layers") else []


def _environment(row: Function, settings: Mapping[str, str]) -> dict[str, str]:
    named = {f"LUTHIER_{name.upper()}": settings[name] for name in row.env}
    return {"POWERTOOLS_SERVICE_NAME": row.name, **named}


def _host(function_name: str) -> list[iam.PolicyStatement]:
    """What Lambda needs on behalf of every function: its own log group, and traces."""
    log_group = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:/aws/lambda/{function_name}"
    return [
        iam.PolicyStatement(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[f"{log_group}:*"]),
        iam.PolicyStatement(actions=["xray:PutTelemetryRecords", "xray:PutTraceSegments"], resources=["*"]),
    ]
