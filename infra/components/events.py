"""The bus that carries Luthier's events, and the queues where undeliverable ones wait for a person."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_events as events
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.naming import physical_name


class Events(Construct):
    """`stream_dead_letters`: changes that were not published; `dead_letters`: calls that a function did not survive."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.bus = events.EventBus(self, "Bus", event_bus_name=physical_name(self, "events"))
        self.stream_dead_letters = self._queue("StreamDeadLetters")
        self.dead_letters = self._queue("DeadLetters")
        acknowledge(self, "SQS3", "These are dead-letter queues, of an event source mapping and of rules and calls.")

    def _queue(self, name: str) -> sqs.Queue:
        return sqs.Queue(
            self,
            name,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            removal_policy=RemovalPolicy.DESTROY,
        )
