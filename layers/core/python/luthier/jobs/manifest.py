"""What determines a run, signed: whoever has it can have the run made again, and it cannot have been changed since.

The signature is an HMAC-SHA-256 by a key that never leaves KMS, over the SHA-256 of the manifest as canonical JSON
(sorted keys, no spaces, whole numbers without a fraction), because KMS signs at most 4,096 bytes.
"""

import base64
import binascii
import hashlib
import json
from typing import Any

from luthier.accounts.entity import Principal
from luthier.errors import Conflict, InvalidRequest
from luthier.idempotency import ONCE, Repetition
from luthier.jobs import hyperparameters
from luthier.jobs.entity import Job, JobRequest
from luthier.jobs.service import JobService

VERSION = 1
ALGORITHM = "HMAC_SHA_256"


def manifest_of(job: Job) -> dict[str, Any]:
    """What a job was to be, with the hashes of what it read. Raises Conflict for one that kept no hashes."""
    if not job.digests:
        raise Conflict(f"Job {job.id} was made before manifests were kept.", remedy="Create a new job.")
    return {
        "version": VERSION,
        "job_id": job.id,
        "base_model": {"id": job.base_model, "revision": job.base_revision},
        "start_from": {name: job.start_from[name] for name in ("model", "model_id")} if job.start_from else None,
        "method": job.method,
        "hyperparameters": job.hyperparameters,
        "training_files": [_file(job, read.dataset_id) | {"weight": read.weight} for read in job.training_files],
        "validation_file": _file(job, job.validation_dataset) if job.validation_dataset else None,
        "invalid_sample_skip_percentage": job.invalid_share,
        "exports": job.exports,
        "evaluation": job.evaluation,
        "hardware": job.hardware,
        "suffix": job.suffix,
    }


def request_of(manifest: dict[str, Any], job: Job) -> JobRequest:
    """The job that makes the run again; what it may cost and what it is tagged with are as `job` has them."""
    first, *more = manifest["training_files"]
    validation = manifest["validation_file"]
    return JobRequest(
        name=f"Rerun of {job.id}",
        base_model=(manifest["start_from"] or {}).get("model") or manifest["base_model"]["id"],
        training_dataset=first["file_id"],
        training_weight=first["weight"],
        more_training=[(file["file_id"], file["weight"]) for file in more],
        invalid_share=manifest["invalid_sample_skip_percentage"],
        validation_file=validation["file_id"] if validation else None,
        hyperparameters=hyperparameters.to_wire(manifest["hyperparameters"]),
        method=manifest["method"],
        exports=manifest["exports"],
        evaluation=manifest["evaluation"],
        hardware=manifest["hardware"],
        suffix=manifest["suffix"],
        max_cost=job.cost.get("cap"),
        metadata=job.metadata,
    )


def require_same(manifest: dict[str, Any], drawn: Job) -> None:
    """Raise Conflict where the run would not be the same any more: other content, another base, another parent."""
    now = _canonical(manifest_of(drawn) | {"job_id": manifest["job_id"]})
    changed = [name for name, value in _canonical(manifest).items() if now.get(name) != value]
    if changed:
        raise Conflict(
            f"The run cannot be made again as it was: {', '.join(changed)} changed since.",
            code="input_changed",
            details={"changed": changed},
            remedy="Create a new job with what there is now.",
        )


class Signer:
    """Signs manifests with the platform's key."""

    def __init__(self, kms: Any, key_id: str) -> None:
        self._kms = kms
        self._key_id = key_id

    def sign(self, manifest: dict[str, Any]) -> str:
        """The signature, in base64."""
        answer = self._kms.generate_mac(Message=_digest(manifest), KeyId=self._key_id, MacAlgorithm=ALGORITHM)
        return base64.b64encode(answer["Mac"]).decode()

    def require(self, manifest: dict[str, Any], signature: str) -> None:
        """Raise InvalidRequest where this platform has not signed this manifest."""
        refused = InvalidRequest(
            "signature is not this platform's for this manifest.",
            code="invalid_signature",
            param="signature",
            remedy="Send manifest and signature exactly as GET …/manifest answered, or neither.",
        )
        try:
            mac = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            raise refused from None
        try:
            self._kms.verify_mac(Message=_digest(manifest), KeyId=self._key_id, MacAlgorithm=ALGORITHM, Mac=mac)
        except self._kms.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in ("KMSInvalidMacException", "ValidationException"):
                raise
            raise refused from None


class Reruns:
    """Runs made again from what determined them."""

    def __init__(self, jobs: JobService, signer: Signer) -> None:
        self._jobs = jobs
        self._signer = signer

    def manifest(self, principal: Principal, job_id: str) -> tuple[dict[str, Any], str]:
        """The manifest of a job, and its signature. Raises NotFound, and Conflict for a job that kept no hashes."""
        manifest = manifest_of(self._jobs.get(principal, job_id))
        return manifest, self._signer.sign(manifest)

    def rerun(
        self,
        principal: Principal,
        job_id: str,
        *,
        signed: tuple[dict[str, Any], str] | None = None,
        repetition: Repetition = ONCE,
    ) -> Job:
        """A new job that makes the run of another again, from its manifest or from one that this platform has signed.

        Raises NotFound, InvalidRequest for a manifest that is not of this job or was not signed here, and Conflict
        where a file, the base model or the parent is not what it was; then nothing is made.
        """
        job = self._jobs.get(principal, job_id)
        if signed:
            self._signer.require(*signed)
            if signed[0]["job_id"] != job.id:
                raise InvalidRequest(
                    f"manifest is that of {signed[0]['job_id']}.",
                    param="manifest",
                    remedy=f"POST it to /v1/fine_tuning/jobs/{signed[0]['job_id']}/rerun.",
                )
        manifest = signed[0] if signed else manifest_of(job)
        return self._jobs.create(
            principal,
            request_of(manifest, job),
            route=f"rerun.{job.id}",
            idempotency_key=repetition.key,
            retry_count=repetition.retries,
            accept=lambda drawn: require_same(manifest, drawn),
        )


def _file(job: Job, file_id: str) -> dict[str, Any]:
    return {"file_id": file_id, "sha256": job.digests.get(file_id)}


def _digest(manifest: dict[str, Any]) -> bytes:
    text = json.dumps(_canonical(manifest), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest().encode()


def _canonical(value: Any) -> Any:
    """With whole numbers as such: JavaScript writes 1.0 as 1."""
    if isinstance(value, dict):
        return {name: _canonical(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_canonical(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
