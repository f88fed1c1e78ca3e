"""Bringing a base model from the hub into our bucket: once per revision, whoever asks first.

A staged model is a prefix with safetensors, tokenizer and config, and a `manifest.json` that is written last. The
copying itself is a SageMaker job (`python -m trainer.stage`); this decides who starts it.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from luthier import clock, table
from luthier.catalog import service as catalog
from luthier.catalog.entity import BaseModel
from luthier.errors import Conflict, LuthierError
from luthier.jobs.outcome import reason_in
from luthier.jobs.runs import describe_training_job
from luthier.settings import Settings

STAGED, COPY, WAIT = "staged", "copy", "wait"
# A claim whose training job never appeared is given up after this long: its pipeline died before the call.
_CLAIM_GRACE = timedelta(minutes=3)
_INSTANCE = "ml.m5.xlarge"


@dataclass(frozen=True)
class Claim:
    """Who copies a revision now. `number` rises with every new try and makes the job's name unique."""

    number: int
    training_job_name: str
    claimed_at: str


class BaseModelStaging:
    def __init__(self, client: Any, s3: Any, sagemaker: Any, settings: Settings, now: clock.Clock = clock.now) -> None:
        self._client = client
        self._s3 = s3
        self._sagemaker = sagemaker
        self._settings = settings
        self._now = now

    def plan(self, name: str, earlier: dict[str, Any] | None = None) -> dict[str, Any]:
        """`{status: staged, model_uri}`, `{status: copy, …}` with what the job is created with, or `{status: wait}`.

        earlier: this step's previous answer in the same execution; a copy that failed since then is our failure too.
        Raises the copying job's own reason (gated model, unknown model, no safetensors, …).
        """
        model = catalog.find_base_model(name)
        if is_staged(self._s3, self._settings.base_models_bucket, model):
            return {"status": STAGED, "model_uri": f"s3://{self._settings.base_models_bucket}/{_prefix(model)}/"}
        claim = self._claim(model)
        described = describe_training_job(self._sagemaker, claim.training_job_name) if claim else None
        if claim and self._is_in_flight(claim, described):
            return {"status": WAIT, "training_job_name": claim.training_job_name}
        if claim and described and (earlier or {}).get("training_job_name") == claim.training_job_name:
            raise _refusal(model, described)
        return self._copy(model, claim)

    def _is_in_flight(self, claim: Claim, described: dict[str, Any] | None) -> bool:
        if described is None:
            return self._now() - clock.parse(claim.claimed_at) < _CLAIM_GRACE
        return described["TrainingJobStatus"] in ("InProgress", "Stopping")

    def _claim(self, model: BaseModel) -> Claim | None:
        key = table.encode(table.base_model_staging(model.id, model.revision))
        answer = self._client.get_item(TableName=self._settings.table, Key=key, ConsistentRead=True)
        if "Item" not in answer:
            return None
        item = table.decode(answer["Item"])
        return Claim(item["number"], item["training_job_name"], item["claimed_at"])

    def _copy(self, model: BaseModel, last: Claim | None) -> dict[str, Any]:
        """Take the next claim. Whoever loses the race waits for the winner."""
        number = last.number + 1 if last else 1
        name = f"stage-{_slug(model.id)}-{_slug(model.revision)[:12]}-{number}"
        item = table.base_model_staging(model.id, model.revision) | {
            "number": number,
            "training_job_name": name,
            "claimed_at": clock.iso(self._now()),
        }
        try:
            self._client.put_item(
                TableName=self._settings.table,
                Item=table.encode(item),
                ConditionExpression="attribute_not_exists(pk) OR #n = :last",
                ExpressionAttributeNames={"#n": "number"},
                ExpressionAttributeValues={":last": {"N": str(number - 1)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return {"status": WAIT}
        bucket = self._settings.base_models_bucket
        environment = {
            "STAGE_MODEL_ID": model.hub_id,
            "STAGE_REVISION": model.revision,
            "STAGE_HUB_URL": self._settings.hub_url,
            "STAGE_DESTINATION": f"s3://{bucket}/{_prefix(model)}",
        }
        if self._settings.hub_token_secret:
            environment["STAGE_HUB_TOKEN_SECRET"] = self._settings.hub_token_secret
        return {
            "status": COPY,
            "training_job_name": name,
            "environment": environment,
            "output_uri": f"s3://{bucket}/.staging/",
            "instance_type": _INSTANCE,
            "volume_gb": 30 + 3 * model.parameters // 10**9,
            "tag": re.sub(r"[^\w .:/=+\-@]", "-", model.id),
        }


def is_staged(s3: Any, bucket: str, model: BaseModel) -> bool:
    """Whether the model's pinned revision lies in the bucket, whole: its manifest is written last."""
    try:
        s3.head_object(Bucket=bucket, Key=f"{_prefix(model)}/manifest.json")
    except s3.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True


def _prefix(model: BaseModel) -> str:
    return f"{model.id}/{model.revision}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", text).strip("-")[:36]


def _refusal(model: BaseModel, described: dict[str, Any]) -> LuthierError:
    reason = reason_in(described.get("FailureReason", ""), "staging_failed")
    return Conflict(
        f"Base model {model.id} could not be staged: {reason['message']}", code=reason["code"], remedy=reason["hint"]
    )
