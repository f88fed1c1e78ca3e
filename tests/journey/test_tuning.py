"""The tuning surface on the running cloud: a dataset that lies elsewhere, and a job that must not overspend."""

from typing import Any

from infra.local.deploy import DATASETS_BUCKET
from tests.journey.customer import LONG, TICKETS, Customer
from tests.journey.local_cloud import MODEL, LocalCloud, wait_for

JOBS = "/v1/fine-tune"
# What is left after the machine's start pays for some seconds of training.
CAP = 0.0125


def settled(customer: Customer, job_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job = customer.call("GET", f"{JOBS}/{job_id}")
        return job if job["status"] not in ("queued", "running") else None

    return dict(wait_for(look, 120, f"the end of {job_id}"))


def test_a_dataset_in_a_listed_bucket_is_trained_on_up_to_the_cap_and_beyond_once_it_is_raised(
    cloud: LocalCloud, completed: dict[str, Any], customer: Customer
) -> None:
    s3 = cloud.aws("s3")
    s3.create_bucket(Bucket=DATASETS_BUCKET)
    s3.put_object(Bucket=DATASETS_BUCKET, Key="tickets/train.jsonl", Body=TICKETS.read_bytes())
    asked = {"baseModel": MODEL, "dataset": f"s3://{DATASETS_BUCKET}/tickets/train.jsonl", "maxCost": CAP}
    job_id = customer.call("POST", JOBS, json=asked | {"hyperparameters": LONG})["jobId"]

    paused = settled(customer, job_id)
    assert (paused["status"], paused["statusReason"]["code"]) == ("paused", "budget_reached")
    assert 0 < paused["cost"]["accrued"] <= CAP
    reached = paused["resumable"]["fromCheckpoint"]
    assert reached == paused["progress"]["step"]

    customer.call("POST", f"{JOBS}/{job_id}/resume", json={"maxCost": 1})
    customer.wait_for_step(job_id, reached + 1)
    customer.call("POST", f"{JOBS}/{job_id}/stop")
    assert settled(customer, job_id)["attempt"] == 2


def test_a_job_can_be_stopped_and_paused_before_its_training_begins(
    cloud: LocalCloud, completed: dict[str, Any], customer: Customer
) -> None:
    asked = {"baseModel": MODEL, "dataset": completed["trainingDataset"], "hyperparameters": LONG}
    for verb, status in (("stop", "stopped"), ("pause", "paused")):
        job_id = customer.call("POST", JOBS, json=asked)["jobId"]
        customer.call("POST", f"{JOBS}/{job_id}/{verb}")
        assert settled(customer, job_id)["status"] == status
