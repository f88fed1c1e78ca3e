"""The bus that carries Luthier's events, the queues behind it, and those where what failed waits for a person."""

from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.naming import physical_name

# Timeouts of the functions behind the queues, in seconds.
_SPREADING, _DELIVERING, _BATCHING = 60, 30, 900


class Events(Construct):
    """`stream_dead_letters`: changes that were not published; `dead_letters`: calls that a function did not survive;
    `webhook_dead_letters`: deliveries that were given up; `batch_dead_letters`: turns of batches that failed.

    Every event goes from the bus into `published`; `deliveries` and `slow_deliveries` hold one message per webhook,
    `batches` one per batch.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.bus = events.EventBus(self, "Bus", event_bus_name=physical_name(self, "events"))
        self.stream_dead_letters = self._queue("StreamDeadLetters")
        self.dead_letters = self._queue("DeadLetters")
        self.webhook_dead_letters = self._queue("WebhookDeadLetters")
        self.batch_dead_letters = self._queue("BatchDeadLetters")
        self.given_up = (
            self.stream_dead_letters,
            self.dead_letters,
            self.webhook_dead_letters,
            self.batch_dead_letters,
        )
        for queue in self.given_up:
            acknowledge(queue, "SQS3", "This is a dead-letter queue.")
        self.published = self._work("Published", self.dead_letters, seconds=_SPREADING)
        self.deliveries = self._work("Deliveries", self.webhook_dead_letters, seconds=_DELIVERING)
        self.slow_deliveries = self._work("SlowDeliveries", self.webhook_dead_letters, seconds=_DELIVERING)
        self.batches = self._work("Batches", self.batch_dead_letters, seconds=_BATCHING)
        self._feed()
        self._archive()

    def _feed(self) -> None:
        target = targets.SqsQueue(self.published, dead_letter_queue=self.dead_letters)
        pattern = events.EventPattern(source=["luthier"])
        events.Rule(self, "Everything", event_bus=self.bus, event_pattern=pattern, targets=[target])

    def _archive(self) -> None:
        """A month of events, to be replayed to any rule."""
        events.CfnArchive(
            self, "Archive", source_arn=self.bus.event_bus_arn, retention_days=30, event_pattern={"source": ["luthier"]}
        )

    def _work(self, name: str, dead_letters: sqs.Queue, *, seconds: int) -> sqs.Queue:
        """A queue of work that takes a function `seconds` at most."""
        # Six times the function's timeout, as AWS advises: messages wait while the function is throttled.
        hidden = Duration.seconds(6 * seconds)
        return self._queue(
            name,
            visibility_timeout=hidden,
            dead_letter_queue=sqs.DeadLetterQueue(max_receive_count=10, queue=dead_letters),
        )

    def _queue(self, name: str, **more: Any) -> sqs.Queue:
        return sqs.Queue(
            self,
            name,
            **more,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            removal_policy=RemovalPolicy.DESTROY,
        )
