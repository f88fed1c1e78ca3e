"""What calls a function without a request, and what watches that nothing is lost."""

import json

from infra import catalog
from tests.infra.template import Resource, Template


def test_new_events_of_the_outbox_and_nothing_else_leave_the_table(template: Template) -> None:
    mapping = template.one("AWS::Lambda::EventSourceMapping")
    [pattern] = mapping["FilterCriteria"]["Filters"]
    assert json.loads(pattern["Pattern"]) == {
        "eventName": ["INSERT"],
        "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "EVENT#"}]}}},
    }


def test_one_bad_record_neither_blocks_the_stream_nor_gets_lost(template: Template) -> None:
    mapping = template.one("AWS::Lambda::EventSourceMapping")
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert "StreamDeadLetters" in str(mapping["DestinationConfig"]["OnFailure"]["Destination"])


def test_training_progress_hears_of_luthiers_training_jobs_and_of_their_metrics(template: Template) -> None:
    patterns = [
        rule["EventPattern"] for rule in template.of_type("AWS::Events::Rule").values() if "EventPattern" in rule
    ]
    by_source = {pattern["source"][0]: pattern for pattern in patterns}
    assert by_source["aws.sagemaker"]["detail-type"] == ["SageMaker Training Job State Change"]
    assert by_source["aws.sagemaker"]["detail"] == {"TrainingJobName": [{"prefix": "ftjob-"}]}
    assert by_source["aws.s3"]["detail"]["object"] == {"key": [{"suffix": "metrics.jsonl"}]}
    assert "StorageArtifacts" in str(by_source["aws.s3"]["detail"]["bucket"])


def test_the_artifacts_bucket_reports_its_objects(template: Template) -> None:
    artifacts = template.named("AWS::S3::Bucket", "StorageArtifacts")
    assert artifacts["NotificationConfiguration"]["EventBridgeConfiguration"] == {"EventBridgeEnabled": True}


def test_stuck_jobs_are_swept_every_minute(template: Template) -> None:
    schedules = [rule["ScheduleExpression"] for rule in _rules(template) if "ScheduleExpression" in rule]
    assert schedules == ["rate(1 minute)"]


def test_a_call_that_cannot_be_delivered_or_fails_waits_in_a_queue(template: Template) -> None:
    for rule in _rules(template):
        assert all("DeadLetters" in str(target["DeadLetterConfig"]) for target in rule["Targets"])
    kept = {str(config["FunctionName"]) for config in template.of_type("AWS::Lambda::EventInvokeConfig").values()}
    assert len(kept) == len([row for row in catalog.EVENTS if not isinstance(row.triggers[0], catalog.OnTableStream)])


def test_every_queue_machine_and_function_that_must_not_raise_has_an_alarm(template: Template) -> None:
    watched = [
        dimension["Value"].get("Ref") or dimension["Value"]["Fn::GetAtt"][0]
        for alarm in template.of_type("AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Dimensions"]
        if isinstance(dimension["Value"], dict)
    ]
    for kind in ("AWS::SQS::Queue", "AWS::StepFunctions::StateMachine"):
        assert set(template.of_type(kind)) <= set(watched)
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
