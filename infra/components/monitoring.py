"""Alarms for what needs a person, on one topic, and one dashboard for the rest."""

from collections.abc import Mapping, Sequence

from aws_cdk import Aws, Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import catalog
from infra.components.events import Events
from infra.components.state_machines import PipelineMachine
from infra.naming import physical_name

_PERIOD = Duration.minutes(5)
# Milliseconds that an event may wait in the table's stream before somebody should look.
_LATE = 300_000


class Monitoring(Construct):
    """Whoever subscribes to `topic` hears of every alarm."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        api: apigateway.RestApi,
        functions: Mapping[str, lambda_.Function],
        machines: Mapping[str, PipelineMachine],
        events: Events,
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        self._let_alarms_publish()
        # Not those of the pipeline: a step refuses by raising, and what it must not lose shows as a failed execution.
        for row in (*catalog.API, *catalog.EVENTS):
            raised = functions[row.name].metric_errors(period=_PERIOD)
            self._alarm(f"{row.pascal_name}Errors", raised, "The function raised instead of answering.")
        failures = [metric for machine in machines.values() for metric in self._watch_machine(machine)]
        waiting = [self._watch_queue(queue) for queue in events.given_up]
        age = functions["publish_events"].metric("IteratorAge", statistic="Maximum", period=_PERIOD)
        self._alarm("PublishingBehind", age, "Events reach the bus more than five minutes late.", above=_LATE)
        oldest = events.published.metric_approximate_age_of_oldest_message(period=_PERIOD)
        self._alarm(
            "WebhooksBehind", oldest, "Events wait more than five minutes for their webhooks.", above=_LATE / 1_000
        )
        self._alarm("ApiServerErrors", api.metric_server_error(period=_PERIOD), "The API answers with 5xx.", above=5)
        errors = [function.metric_errors(label=name, period=_PERIOD) for name, function in functions.items()]
        self._dashboard(api, {"Failed executions": failures, "Function errors": errors, "Dead letters": waiting})

    def _let_alarms_publish(self) -> None:
        # The policy that demands TLS takes the place of the default one, which let the account's alarms in.
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )

    def _watch_machine(self, machine: PipelineMachine) -> list[cloudwatch.Metric]:
        """Alarms for executions that ended without settling their work; a failed job is a success of its execution."""
        failed, timed_out = (
            machine.machine.metric_failed(period=_PERIOD),
            machine.machine.metric_timed_out(period=_PERIOD),
        )
        self._alarm(f"{machine.node.id}MachineFailed", failed, "An execution failed.")
        self._alarm(f"{machine.node.id}MachineTimedOut", timed_out, "An execution ran out of time.")
        return [failed, timed_out]

    def _watch_queue(self, queue: sqs.Queue) -> cloudwatch.Metric:
        waiting = queue.metric_approximate_number_of_messages_visible(period=_PERIOD)
        self._alarm(f"{queue.node.id}Waiting", waiting, "Something was given up on and waits for a person.")
        return waiting

    def _alarm(self, name: str, metric: cloudwatch.Metric, description: str, *, above: float = 0) -> None:
        # One plain metric each: the emulator does not know alarms on metric math.
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=above,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=description,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))

    def _dashboard(self, api: apigateway.RestApi, graphs: Mapping[str, Sequence[cloudwatch.IMetric]]) -> None:
        requests = [api.metric_count(), api.metric_client_error(), api.metric_server_error()]
        latency = [api.metric_latency(statistic=statistic) for statistic in ("p50", "p99")]
        shown = {"Requests": requests, "Latency (ms)": latency, **graphs}
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=physical_name(self, "overview"),
            widgets=[
                [cloudwatch.GraphWidget(title=title, left=list(metrics), width=12)] for title, metrics in shown.items()
            ],
        )
