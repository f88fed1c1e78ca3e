"""A run cannot lose its work: stopped, or killed with the whole machine, it goes on from its last checkpoint."""

import json
import os
from datetime import UTC, datetime

from tests.journey.customer import JOBS, LONG, Customer
from tests.journey.local_cloud import LocalCloud, wait_for


def _steps(customer: Customer, job_id: str) -> list[int]:
    return [step["step"] for step in customer.call("GET", f"{JOBS}/{job_id}/metrics")["metrics"]["steps"]]


def test_a_stopped_job_can_be_restarted_from_its_last_checkpoint(customer: Customer) -> None:
    job_id = customer.create_job(LONG)
    customer.wait_for_step(job_id, 5)

    customer.call("POST", f"{JOBS}/{job_id}/stop")
    stopped = customer.wait_for_end(job_id)
    assert stopped["status"] == "stopped"
    assert stopped["resumable"]["value"] is True
    reached = stopped["progress"]["step"]

    customer.call("POST", f"{JOBS}/{job_id}/restart")
    customer.wait_for_step(job_id, reached + 1)
    assert customer.job(job_id)["attempt"] == 2
    customer.call("POST", f"{JOBS}/{job_id}/stop")
    customer.wait_for_end(job_id)
    assert _steps(customer, job_id)[0] == 1


def test_a_killed_cloud_comes_back_with_its_job_interrupted_and_the_job_goes_on(mortal_cloud: LocalCloud) -> None:
    with mortal_cloud.http() as client:
        customer = Customer(client)
        job_id = customer.create_job({**LONG, "epochs": 12})
        wait_for(lambda: _checkpoints(mortal_cloud, job_id), 120, "a checkpoint in S3")
        orphans = mortal_cloud.children()

        mortal_cloud.kill()
        wait_for(lambda: not any(_runs(pid) for pid in orphans), 5, "every child is gone")
        mortal_cloud.start()

        failed = customer.wait_for_status(job_id, "failed")
        assert failed["statusReason"]["code"] == "interrupted"
        assert failed["resumable"]["value"] is True
        kept = max(_checkpoints(mortal_cloud, job_id))

        restarted_at = datetime.now(UTC).isoformat()
        customer.call("POST", f"{JOBS}/{job_id}/restart")
        completed = customer.wait_for_status(job_id, "completed")
        assert completed["attempt"] == 2
        assert _steps_since(mortal_cloud, job_id, restarted_at)[0] == kept + 1


def test_ctrl_c_leaves_no_orphan_and_what_was_there_is_there_again(mortal_cloud: LocalCloud) -> None:
    with mortal_cloud.http() as client:
        customer = Customer(client)
        job_id = customer.create_job(LONG)
        customer.wait_for_status(job_id, "running")
        children = mortal_cloud.children()

        mortal_cloud.stop()
        wait_for(lambda: not any(_runs(pid) for pid in children), 3, "every child is gone")
        mortal_cloud.start()

        job = customer.wait_for_status(job_id, "failed")
        assert job["statusReason"]["code"] == "interrupted"
        assert job["attempt"] == 1


def _checkpoints(cloud: LocalCloud, job_id: str) -> list[int]:
    """The steps whose whole checkpoint lies in S3: its marker travels last."""
    keys = _objects(cloud, job_id)
    return [int(key.split("/checkpoint-")[1].split("/")[0]) for key in keys if key.endswith("/complete.json")]


def _steps_since(cloud: LocalCloud, job_id: str, moment: str) -> list[int]:
    """The steps that the trainer has reported since then, out of the file that every run appends to."""
    key = next(key for key in _objects(cloud, job_id) if key.endswith("metrics.jsonl"))
    body = cloud.aws("s3").get_object(Bucket=cloud.environment["LUTHIER_ARTIFACTS_BUCKET"], Key=key)["Body"]
    rows = [json.loads(line) for line in body.read().decode().splitlines()]
    return [row["step"] for row in rows if row["time"] >= moment and row.get("training_loss") is not None]


def _objects(cloud: LocalCloud, job_id: str) -> list[str]:
    bucket = cloud.environment["LUTHIER_ARTIFACTS_BUCKET"]
    found = cloud.aws("s3").list_objects_v2(Bucket=bucket, Prefix=f"org_local/jobs/{job_id}/checkpoints/")
    return [item["Key"] for item in found.get("Contents", [])]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"
