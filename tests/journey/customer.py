"""What a customer does through the API, in the words of the journeys."""

from typing import Any

import httpx

from infra.local.options import REPOSITORY
from tests.journey.local_cloud import MODEL, wait_for

TICKETS = REPOSITORY / "training_container" / "demo" / "tickets" / "train.jsonl"
JOBS = "/api/v1/fine-tuning/jobs"
SHORT = {"epochs": 1, "learningRate": 0.01, "batchSize": 8}
# Long enough to be stopped or killed between two checkpoints on any machine.
LONG = {"epochs": 30, "learningRate": 0.001, "batchSize": 8}
_TRAIN_SECONDS = 120.0
_DEPLOY_SECONDS = 90.0


class Customer:
    """One organization's user."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """The JSON answer of a request that must succeed."""
        answer = self._client.request(method, path, **arguments)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return dict(answer.json()) if answer.content else {}

    def upload(self) -> str:
        files = {"file": ("train.jsonl", TICKETS.read_bytes(), "application/jsonl")}
        return str(self.call("POST", "/v1/files", files=files, data={"purpose": "fine-tune"})["id"])

    def create_job(self, hyperparameters: dict[str, Any], **extra: Any) -> str:
        wish = {"name": "journey", "baseModel": MODEL, "trainingDataset": self.upload(), **extra}
        return str(self.call("POST", JOBS, json={**wish, "hyperparameters": hyperparameters})["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return self.call("GET", f"{JOBS}/{job_id}")

    def wait_for_status(self, job_id: str, *wanted: str) -> dict[str, Any]:
        """The job once it has one of these statuses; fails at once when it ended otherwise."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            ended = job["status"] in ("completed", "failed", "stopped") and job["status"] not in wanted
            assert not ended, f"The job ended {job['status']}: {job['statusReason']} {job['error']}"
            return job if job["status"] in wanted else None

        return dict(wait_for(look, _TRAIN_SECONDS, f"job {job_id} {' or '.join(wanted)}"))

    def wait_for_end(self, job_id: str) -> dict[str, Any]:
        """The job once its attempt is settled; while it still stops it already shows as stopped."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["finishedAt"] else None

        return dict(wait_for(look, _TRAIN_SECONDS, f"the end of job {job_id}"))

    def wait_for_step(self, job_id: str, step: int) -> dict[str, Any]:
        """The job once it has trained so many steps."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            assert job["status"] in ("queued", "running"), f"The job ended {job['status']}: {job['statusReason']}"
            return job if (job["progress"] or {}).get("step", 0) >= step else None

        return dict(wait_for(look, _TRAIN_SECONDS, f"step {step} of job {job_id}"))

    def deploy(self, job_id: str) -> None:
        def look() -> bool:
            status = self.call("POST", f"{JOBS}/{job_id}/deploy")["status"]
            assert status in ("deploying", "deployed"), f"The deployment is {status}."
            return bool(status == "deployed")

        wait_for(look, _DEPLOY_SECONDS, f"deployment of {job_id}")
