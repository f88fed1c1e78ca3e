"""Playing SageMaker and the state machine for processings."""

import json
from typing import Any

from luthier import table
from luthier.accounts.entity import Principal
from luthier.models.entity import Model
from luthier.processing.entity import Processing
from tests.factories import CARD, MODEL_URI, SETTINGS, Platform, rows

# What the trainer's evaluator leaves of an eval set, and of lm-eval's task files.
TABLE: dict[str, Any] = {
    "examples": 50,
    "tokens": 900,
    "answered": 50,
    "leaked": 0,
    "complete": True,
    "base": {"loss": 2.5, "perplexity": 12.18, "token_accuracy": 0.5, "exact_match": 0.02, "f1": 0.1, "bleu": 3.0},
    "tuned": {"loss": 0.5, "perplexity": 1.65, "token_accuracy": 0.9, "exact_match": 0.852, "f1": 0.9, "bleu": 78.0},
}
SCORE: dict[str, Any] = {"metric": "acc_norm", "samples": 100, "base": {"value": 0.5, "stderr": 0.05}}
SCORE |= {"tuned": {"value": 0.768, "stderr": 0.04}}
TASKS_TABLE: dict[str, Any] = {
    "examples": 0,
    "complete": True,
    "base": {"tasks": {"hellaswag": {"acc_norm": 0.5, "acc": 0.4}}},
    "tuned": {"tasks": {"hellaswag": {"acc_norm": 0.768, "acc": 0.6}}},
    "scores": {"hellaswag": SCORE},
}
HELD_OUT = {"train": {"sha256": "a" * 64, "rows": 500}, "validation": {"sha256": "b" * 64, "rows": 50}}


def model(platform: Platform, who: Principal, evaluation: dict[str, Any] | None = None, **card: Any) -> Model:
    """A finished model with the evaluation of its card."""
    told = {"evaluation": evaluation or TABLE, "dataset": HELD_OUT} | card
    job = platform.complete(platform.launched(who), **told)
    found = platform.models.of_job(job)
    assert found is not None
    assert CARD["metrics"]
    return found


def eval_set(platform: Platform, who: Principal, count: int = 3, filename: str = "custom_eval_suite.jsonl") -> str:
    """An eval set of the organization: its id."""
    return platform.datasets.upload(who, filename=filename, purpose="evals", content=rows(count)).id


def task_folder(platform: Platform, name: str = "hellaswag", text: str = "task: hellaswag") -> None:
    """A benchmark of the operator."""
    bucket = SETTINGS.base_models_bucket
    platform.s3.put_object(Bucket=bucket, Key=f"benchmarks/{name}/{name}.yaml", Body=text.encode())
    platform.s3.put_object(Bucket=bucket, Key=f"benchmarks/{name}/rows.jsonl", Body=b"{}\n")


def archive(platform: Platform, model: Model) -> None:
    platform.dynamodb.update_item(
        TableName=SETTINGS.table,
        Key=table.encode(table.key(model.organization_id, table.model(model.id))),
        UpdateExpression="SET #status = :archived",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues=table.encode({":archived": "archived"}),
    )


def fresh(platform: Platform, made: Processing) -> Processing:
    return platform.processings.get(made.organization_id, made.id)


def plan(platform: Platform, made: Processing, error: dict[str, Any] | None = None) -> dict[str, Any]:
    step = (made.organization_id, made.id, made.attempt)
    return platform.processing_pipeline.plan(*step, model_uri=MODEL_URI, error=error)


def settle(platform: Platform, made: Processing, error: dict[str, Any] | None = None) -> Processing:
    return platform.processing_pipeline.settle(made.organization_id, made.id, made.attempt, error)


def launch(platform: Platform, made: Processing) -> dict[str, Any]:
    """SageMaker's description of the job that has just been created for a processing."""
    asked = plan(platform, made)
    name = asked["training_job_name"]
    platform.sagemaker.jobs[name] = {
        "TrainingJobName": name,
        "TrainingJobStatus": "InProgress",
        "ResourceConfig": {"InstanceType": asked["instance_type"]},
        "ModelArtifacts": {"S3ModelArtifacts": f"{asked['output_uri']}{name}/output/model/"},
    }
    return platform.sagemaker.jobs[name]


def finish(platform: Platform, made: Processing, output: dict[str, Any] | None = None) -> Processing:
    """The processing after its job has run for an hour; output: what it has left, files of text or of JSON."""
    described = launch(platform, made)
    described |= {"TrainingJobStatus": "Completed", "BillableTimeInSeconds": 3600}
    folder = described["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{SETTINGS.artifacts_bucket}/")
    for name, content in (output or {"evaluation.json": TABLE}).items():
        platform.put_artifact(f"{folder}{name}", content if isinstance(content, str) else json.dumps(content))
    return settle(platform, made)


def fail(platform: Platform, made: Processing, reason: str, status: str = "Failed", **more: Any) -> Processing:
    """The processing after its job has failed with this FailureReason."""
    launch(platform, made)
    described = platform.sagemaker.jobs[fresh(platform, made).training_job_name or ""]
    described |= {"TrainingJobStatus": status, "FailureReason": reason, "BillableTimeInSeconds": 60} | more
    assert plan(platform, made, {"Error": "States.TaskFailed"})["status"] == "ended"
    return settle(platform, made, {"Error": "States.TaskFailed"})
