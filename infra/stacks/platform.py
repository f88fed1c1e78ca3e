"""The one stack: everything that Luthier is, in the order in which the parts need each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aws_cdk import ArnFormat, CfnOutput, Stack
from constructs import Construct

from infra import catalog
from infra.components.api import Api
from infra.components.dashboard import Dashboard
from infra.components.events import Events
from infra.components.functions import Functions
from infra.components.in_aws import in_aws
from infra.components.monitoring import Monitoring
from infra.components.permissions import Resource, words
from infra.components.sagemaker_roles import SageMakerRoles
from infra.components.serving_images import serving_image
from infra.components.state_machines import PipelineMachine
from infra.components.storage import Storage
from infra.components.training_image import training_image
from infra.components.triggers import Triggers
from infra.flavours import Flavour

MACHINES = ("training", "deployment", "processing")
HUB_URL = "https://huggingface.co"


@dataclass(frozen=True)
class Options:
    """What may be chosen at deploy time. `deps`: folder of the built dependency layer; empty strings mean unset."""

    deps: Path
    trainer_image_uri: str = ""
    hub_url: str = HUB_URL
    hub_token_secret: str = ""
    # Value of each setting that `Settings.choices` names.
    settings: Mapping[str, str] = field(default_factory=dict)


class LuthierStack(Stack):
    def __init__(self, scope: Construct, construct_id: str, *, flavour: Flavour, options: Options) -> None:
        super().__init__(
            scope,
            construct_id,
            synthesizer=flavour.synthesizer,
            description="Luthier: the fine-tuning platform that a team owns",
        )
        self.storage = Storage(self, "Storage")
        self.events = Events(self, "Events")
        dataset_buckets = options.settings.get("dataset_buckets", "")
        self.roles = SageMakerRoles(
            self,
            "SageMaker",
            storage=self.storage,
            hub_token_secret=options.hub_token_secret,
            dataset_buckets=dataset_buckets,
        )
        self.functions = Functions(
            self, "Functions", flavour=flavour, deps=options.deps, key_arn=self.storage.key.key_arn
        )
        self._words = words(self.storage, self.events, self.roles, options.hub_token_secret, dataset_buckets)
        self._settings = self._known_settings(options)
        self._add_pipeline(training_image(self, options.trainer_image_uri))
        self._add_events()
        self._add_api(flavour)
        self.monitoring = Monitoring(
            self,
            "Monitoring",
            api=self.api.rest,
            functions=self.functions.by_name,
            machines=self.machines,
            events=self.events,
        )
        self._add_outputs()

    def _known_settings(self, options: Options) -> dict[str, str]:
        """Value of each field of `luthier.settings.Settings` that is known before the state machines are."""
        storage = self.storage
        return {
            "table": storage.table.table_name,
            "manifest_key_id": storage.manifest_key.key_id,
            "data_bucket": storage.data.bucket_name,
            "base_models_bucket": storage.base_models.bucket_name,
            "artifacts_bucket": storage.artifacts.bucket_name,
            "event_bus": self.events.bus.event_bus_name,
            "serving_image": serving_image(self),
            "serving_role_arn": self.roles.serving.role_arn,
            # Regional endpoints of API Gateway cut an answer off after five minutes of silence.
            "inference_seconds": "290",
            "hub_url": options.hub_url,
            "hub_token_secret": options.hub_token_secret,
            "webhook_queue_url": self.events.deliveries.queue_url,
            "slow_webhook_queue_url": self.events.slow_deliveries.queue_url,
            "webhook_dead_letters_url": self.events.webhook_dead_letters.queue_url,
            "batch_queue_url": self.events.batches.queue_url,
            **options.settings,
        }

    def _add_pipeline(self, image: str) -> None:
        """The steps first, then the machines that call them; from then on both can be granted and named."""
        for row in catalog.PIPELINE:
            self.functions.add(row, self._words, self._settings)
        self.machines = {name: self._machine(name, image) for name in MACHINES}
        arns = {name: machine.machine.state_machine_arn for name, machine in self.machines.items()}
        executions = tuple(self._execution_arns(machine) for machine in self.machines.values())
        self._words |= {f"{name}_machine": Resource((arn,)) for name, arn in arns.items()}
        self._words["executions"] = Resource(executions, "Each execution has a name of its own.")
        self._settings |= {f"{name}_state_machine_arn": arn for name, arn in arns.items()}

    def _machine(self, name: str, image: str) -> PipelineMachine:
        functions = {f"{row.pascal_name}Arn": self.functions.by_name[row.name] for row in catalog.PIPELINE}
        roles = {
            "TrainingRoleArn": self.roles.training,
            "StagingRoleArn": self.roles.staging,
            "ProcessingRoleArn": self.roles.processing,
        }
        return PipelineMachine(
            self,
            name.title(),
            name=name,
            substitutions={
                "TrainingImage": image,
                "DataKeyArn": self.storage.key.key_arn,
                **{key: function.function_arn for key, function in functions.items()},
                **{key: role.role_arn for key, role in roles.items()},
            },
            functions=functions,
            sagemaker_roles=roles,
        )

    def _execution_arns(self, machine: PipelineMachine) -> str:
        name = machine.machine.state_machine_name
        return self.format_arn(
            service="states", resource="execution", resource_name=f"{name}:*", arn_format=ArnFormat.COLON_RESOURCE_NAME
        )

    def _add_events(self) -> None:
        triggers = Triggers(self, "Triggers", storage=self.storage, events=self.events)
        for row in catalog.EVENTS:
            triggers.connect(row, self.functions.add(row, self._words, self._settings))

    def _add_api(self, flavour: Flavour) -> None:
        functions = {row.name: self.functions.add(row, self._words, self._settings) for row in catalog.API}
        self.api = Api(self, "Api", functions=functions, flavour=flavour)
        self.dashboard = Dashboard(self, "Dashboard", api=self.api.rest)

    def _add_outputs(self) -> None:
        outputs = {
            "ApiUrl": self.api.rest.url,
            "TableName": self.storage.table.table_name,
            "DataBucketName": self.storage.data.bucket_name,
            "BaseModelsBucketName": self.storage.base_models.bucket_name,
            "ArtifactsBucketName": self.storage.artifacts.bucket_name,
            "EventBusName": self.events.bus.event_bus_name,
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
        # On one machine the front door serves the page.
        there = {"DashboardUrl": self.dashboard.url, "DashboardBucketName": self.dashboard.bucket.bucket_name}
        for name, value in there.items():
            CfnOutput(self, name, value=value, condition=in_aws(self))
