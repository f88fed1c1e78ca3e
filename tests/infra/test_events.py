"""What calls a function without a request, and what watches that nothing is lost."""

import json

from infra import catalog
from tests.infra.template import Resource, Template


def test_new_events_of_the_outbox_and_nothing_else_leave_the_table(template: Template) -> None:
    mapping = _mapping(template, "StorageTable")
    [pattern] = mapping["FilterCriteria"]["Filters"]
    assert json.loads(pattern["Pattern"]) == {
        "eventName": ["INSERT"],
        "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "EVENT#"}]}}},
    }


def test_one_bad_record_neither_blocks_the_stream_nor_gets_lost(template: Template) -> None:
    mapping = _mapping(template, "StorageTable")
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert "StreamDeadLetters" in str(mapping["DestinationConfig"]["OnFailure"]["Destination"])


def test_training_progress_hears_of_luthiers_training_jobs_and_of_their_metrics(template: Template) -> None:
    patterns = [rule["EventPattern"] for rule in _rules(template) if "EventPattern" in rule]
    by_source = {pattern["source"][0]: pattern for pattern in patterns}
    assert by_source["aws.sagemaker"]["detail-type"] == ["SageMaker Training Job State Change"]
    assert by_source["aws.sagemaker"]["detail"] == {"TrainingJobName": [{"prefix": "ftjob-"}]}
    assert by_source["aws.s3"]["detail"]["object"] == {"key": [{"suffix": "metrics.jsonl"}]}
    assert "StorageArtifacts" in str(by_source["aws.s3"]["detail"]["bucket"])


def test_the_artifacts_bucket_reports_its_objects(template: Template) -> None:
    artifacts = template.named("AWS::S3::Bucket", "StorageArtifacts")
    assert artifacts["NotificationConfiguration"]["EventBridgeConfiguration"] == {"EventBridgeEnabled": True}


def test_stuck_jobs_unpublished_events_forgotten_deliveries_and_batches_and_due_files_are_swept_every_minute(
    template: Template,
) -> None:
    assert _schedules(template).count("rate(1 minute)") == 5


def test_models_whose_time_is_over_are_swept_every_few_minutes(template: Template) -> None:
    assert set(_schedules(template)) == {"rate(1 minute)", "rate(5 minutes)"}
    assert _schedules(template).count("rate(5 minutes)") == 1


def _schedules(template: Template) -> list[str]:
    return [rule["ScheduleExpression"] for rule in _rules(template) if "ScheduleExpression" in rule]


def test_every_luthier_event_of_the_bus_reaches_the_fan_out_and_an_archive(template: Template) -> None:
    [rule] = [rule for rule in _rules(template) if rule.get("EventPattern") == {"source": ["luthier"]}]
    assert "EventsBus" in str(rule["EventBusName"])
    assert "EventsPublished" in str(rule["Targets"][0]["Arn"])
    archive = template.one("AWS::Events::Archive")
    assert "EventsBus" in str(archive["SourceArn"])
    assert archive["RetentionDays"] == 30
    assert "FanOutWebhooks" in str(_mapping(template, "EventsPublished")["FunctionName"])


def test_slow_receivers_have_a_lane_of_their_own(template: Template) -> None:
    quick, slow = _mapping(template, "EventsDeliveries"), _mapping(template, "EventsSlowDeliveries")
    assert quick["FunctionName"] == slow["FunctionName"]
    for mapping in (quick, slow):
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert slow["BatchSize"] > quick["BatchSize"] == 10
    assert "MaximumBatchingWindowInSeconds" not in quick


def test_a_message_that_nobody_can_handle_waits_in_a_dead_letter_queue(template: Template) -> None:
    queues = template.of_type("AWS::SQS::Queue")
    last = [name for name, queue in queues.items() if "RedrivePolicy" not in queue]
    assert len(last) == 4
    for queue in queues.values():
        if policy := queue.get("RedrivePolicy"):
            assert policy["maxReceiveCount"] == 10
            assert policy["deadLetterTargetArn"]["Fn::GetAtt"][0] in last


def test_a_message_stays_hidden_six_times_as_long_as_its_function_may_run(template: Template) -> None:
    for row in catalog.EVENTS:
        for trigger in row.triggers:
            if isinstance(trigger, catalog.OnQueue):
                start = f"Events{trigger.queue.title().replace('_', '')}"
                [queue] = [q for name, q in template.of_type("AWS::SQS::Queue").items() if name[:-8] == start]
                assert queue["VisibilityTimeout"] == 6 * row.timeout


def test_a_call_that_cannot_be_delivered_or_fails_waits_in_a_queue(template: Template) -> None:
    for rule in _rules(template):
        assert all("DeadLetters" in str(target["DeadLetterConfig"]) for target in rule["Targets"])
    kept = {str(config["FunctionName"]) for config in template.of_type("AWS::Lambda::EventInvokeConfig").values()}
    polled = (catalog.OnTableStream, catalog.OnQueue)
    assert len(kept) == len([row for row in catalog.EVENTS if not isinstance(row.triggers[0], polled)])


def test_every_dead_letter_queue_machine_and_function_that_must_not_raise_has_an_alarm(template: Template) -> None:
    watched = [
        dimension["Value"].get("Ref") or dimension["Value"]["Fn::GetAtt"][0]
        for alarm in template.of_type("AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Dimensions"]
        if isinstance(dimension["Value"], dict)
    ]
    last = {name for name, queue in template.of_type("AWS::SQS::Queue").items() if "RedrivePolicy" not in queue}
    assert last | set(template.of_type("AWS::StepFunctions::StateMachine")) <= set(watched)
    handlers = {row.handler for row in (*catalog.API, *catalog.EVENTS)}
    functions = template.of_type("AWS::Lambda::Function")
    assert {name for name, row in functions.items() if row["Handler"] in handlers} <= set(watched)


def test_an_alarm_rings_when_events_are_late(template: Template) -> None:
    metrics = {alarm["MetricName"] for alarm in template.of_type("AWS::CloudWatch::Alarm").values()}
    assert "IteratorAge" in metrics


def test_alarms_may_publish_on_the_topic(template: Template) -> None:
    policy = template.one("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    [allowed] = [statement for statement in policy if statement["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_every_alarm_tells_the_topic_and_stays_silent_without_data(template: Template) -> None:
    [topic] = template.of_type("AWS::SNS::Topic")
    for alarm in template.of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == [{"Ref": topic}]
        assert alarm["TreatMissingData"] == "notBreaching"


def _rules(template: Template) -> list[Resource]:
    return list(template.of_type("AWS::Events::Rule").values())


def _mapping(template: Template, source: str) -> Resource:
    """The event source mapping that reads from the resource whose logical id begins with `source`."""
    mappings = template.of_type("AWS::Lambda::EventSourceMapping").values()
    [found] = [row for row in mappings if row["EventSourceArn"]["Fn::GetAtt"][0].startswith(source)]
    return found
