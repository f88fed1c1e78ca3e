"""Connects functions to what calls them without a request: the table's stream, EventBridge and the clock."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.components.events import Events
from infra.components.storage import Storage
from infra.rows import EveryMinutes, Function, OnArtifact, OnQueue, OnTableStream, OnTrainingJobChange, Trigger


class Triggers(Construct):
    def __init__(self, scope: Construct, construct_id: str, *, storage: Storage, events: Events) -> None:
        super().__init__(scope, construct_id)
        self._storage = storage
        self._events = events

    def connect(self, row: Function, function: lambda_.Function) -> None:
        """Make every trigger of the row call the function."""
        for trigger in row.triggers:
            if isinstance(trigger, OnTableStream):
                function.add_event_source(self._stream(trigger))
            elif isinstance(trigger, OnQueue):
                function.add_event_source(self._queue(trigger))
            else:
                self._rule(row, trigger, function)
        if any(not isinstance(trigger, OnTableStream | OnQueue) for trigger in row.triggers):
            self._keep_failed_calls(row, function)

    def _stream(self, trigger: OnTableStream) -> sources.DynamoEventSource:
        inserted = {
            "eventName": lambda_.FilterRule.is_equal("INSERT"),
            "dynamodb": {"Keys": {"sk": {"S": lambda_.FilterRule.begins_with(trigger.sort_key_prefix)}}},
        }
        return sources.DynamoEventSource(
            self._storage.table,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=100,
            # One bad record must not hold back the shard: halve, try again, put the rest aside.
            bisect_batch_on_error=True,
            retry_attempts=10,
            report_batch_item_failures=True,
            on_failure=sources.SqsDlq(self._events.stream_dead_letters),
            filters=[lambda_.FilterCriteria.filter(inserted)],
        )

    def _queue(self, trigger: OnQueue) -> sources.SqsEventSource:
        return sources.SqsEventSource(
            getattr(self._events, trigger.queue),
            batch_size=trigger.batch,
            max_batching_window=Duration.seconds(trigger.window) if trigger.window else None,
            max_concurrency=trigger.concurrency,
            report_batch_item_failures=True,
        )

    def _rule(self, row: Function, trigger: Trigger, function: lambda_.Function) -> None:
        target = targets.LambdaFunction(
            function, dead_letter_queue=self._events.dead_letters, max_event_age=Duration.hours(2), retry_attempts=20
        )
        name = f"{row.pascal_name}{type(trigger).__name__}"
        if isinstance(trigger, EveryMinutes):
            every = events.Schedule.rate(Duration.minutes(trigger.minutes))
            events.Rule(self, name, schedule=every, targets=[target])
        else:
            events.Rule(self, name, event_pattern=_pattern(trigger, self._storage.artifacts), targets=[target])

    def _keep_failed_calls(self, row: Function, function: lambda_.Function) -> None:
        lambda_.CfnEventInvokeConfig(
            self,
            f"{row.pascal_name}Failures",
            function_name=function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=2,
            destination_config={"onFailure": {"destination": self._events.dead_letters.queue_arn}},
        )


def _pattern(trigger: Trigger, artifacts: s3.Bucket) -> events.EventPattern:
    if isinstance(trigger, OnArtifact):
        return events.EventPattern(
            source=["aws.s3"],
            detail_type=["Object Created"],
            detail={"bucket": {"name": [artifacts.bucket_name]}, "object": {"key": [{"suffix": trigger.suffix}]}},
        )
    assert isinstance(trigger, OnTrainingJobChange)
    return events.EventPattern(
        source=["aws.sagemaker"],
        detail_type=["SageMaker Training Job State Change"],
        detail={"TrainingJobName": [{"prefix": "ftjob-"}]},
    )
