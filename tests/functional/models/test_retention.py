"""Archiving, restoring and deleting models, and what is kept because something needs it."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from luthier import clock, table
from luthier.errors import Conflict, InvalidRequest, NotFound
from luthier.models.entity import Model
from luthier.processing.entity import Processing
from tests.factories import Platform
from tests.functional.models.world import A, copy, deployed, fresh, model
from tests.functional.processing import world as processing


def objects(platform: Platform, model: Model) -> list[str]:
    return objects_under(platform, f"org_a/jobs/{model.job_id}")


def objects_under(platform: Platform, folder: str) -> list[str]:
    listed = platform.s3.list_objects_v2(Bucket="luthier-artifacts", Prefix=f"{folder}/")
    return [entry["Key"] for entry in listed.get("Contents", [])]


def evaluated(platform: Platform, model: Model) -> Processing:
    """A completed evaluation of a model on the organization's eval set."""
    return processing.finish(platform, evaluating(platform, model))


def evaluating(platform: Platform, model: Model) -> Processing:
    """The same, just begun."""
    [evaluation] = platform.evaluations.evaluate(A, model.id, ["custom_eval_suite"])
    return evaluation.processing


def items(platform: Platform, *names: str) -> list[str]:
    """Sort keys of everything in the table that speaks of a model, without events, jobs and idempotency."""
    found = (table.decode(item) for item in platform.dynamodb.scan(TableName="luthier")["Items"])
    return [
        item["sk"]
        for item in found
        if any(name in json.dumps(item) for name in names) and not item["sk"].startswith(("EVENT#", "JOB#"))
    ]


def sweep(platform: Platform, **later: float) -> dict[str, list[str]]:
    platform.clock.advance(**{"seconds": 1} | later)
    return platform.retention.sweep()


def test_an_archived_model_says_why_and_until_when(platform: Platform) -> None:
    made = model(platform)
    archived = platform.retention.archive(A, made.id, reason="Replaced", retention_period="12w")
    assert archived.status == "archived"
    assert archived.archived is not None
    assert (archived.archived["reason"], archived.archived["retention_period"]) == ("Replaced", "12w")
    assert clock.parse(archived.archived["expires_at"]) - platform.clock() == timedelta(weeks=12)
    assert platform.events()[-1] == "model.archived"


@pytest.mark.parametrize(("period", "days"), [(None, 90), ("1d", 1), ("2w", 14), ("3m", 90), ("3650d", 3650)])
def test_a_period_is_days_weeks_or_months(platform: Platform, period: str | None, days: int) -> None:
    archived = platform.retention.archive(A, model(platform).id, retention_period=period).archived
    assert archived is not None
    assert clock.parse(archived["expires_at"]) - platform.clock() == timedelta(days=days)


@pytest.mark.parametrize("period", ["", "90", "d", "0d", "3651d", "-1d", "1y", "1.5d", " 1d", "٣d", "99999d", "122m"])
def test_another_period_is_refused(platform: Platform, period: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        platform.retention.archive(A, model(platform).id, retention_period=period)
    assert refused.value.param == "retention_period"


def test_a_restored_model_is_as_it_was(platform: Platform) -> None:
    made = model(platform)
    platform.retention.archive(A, made.id, retention_period="1d")
    platform.clock.advance(hours=23)
    restored = platform.retention.restore(A, made.id)
    assert replace(restored, updated_at=made.updated_at, writes=made.writes) == made
    assert sweep(platform, days=400) == {"deleted": [], "kept": []}
    assert fresh(platform, made) == restored
    assert platform.events()[-2:] == ["model.archived", "model.restored"]


def test_a_model_whose_time_is_over_is_not_restored(platform: Platform) -> None:
    made = model(platform)
    platform.retention.archive(A, made.id, retention_period="1d")
    platform.clock.advance(days=1)
    with pytest.raises(Conflict) as refused:
        platform.retention.restore(A, made.id)
    assert refused.value.details["current"] == "expired"


def test_what_is_not_in_the_right_state_is_refused_naming_both(platform: Platform) -> None:
    made, other = model(platform), model(platform)
    with pytest.raises(Conflict) as refused:
        platform.retention.restore(A, made.id)
    assert refused.value.details == {"current": "ready", "required": ["archived"]}
    platform.retention.archive(A, made.id)
    with pytest.raises(Conflict) as refused:
        platform.retention.archive(A, made.id)
    assert refused.value.details == {"current": "archived", "required": ["ready"]}
    for status in ("active", "deploying", "paused"):
        deployed(platform, fresh(platform, other), status)
        for verb in (platform.retention.archive, platform.retention.delete):
            with pytest.raises(Conflict) as refused:
                verb(A, other.id)
            current = "deployed" if status == "active" else fresh(platform, other).deployments["ep_1"]["status"]
            assert refused.value.details == {"current": current, "required": ["ready"], "deployments": ["ep_1"]}


def test_an_archived_model_cannot_be_deployed_or_trained_on(platform: Platform) -> None:
    made = model(platform)
    platform.retention.archive(A, made.id)
    with pytest.raises(Conflict, match="archived"):
        platform.deployments.deploy_model(A, made.id)
    with pytest.raises(Conflict, match="archived"):
        platform.job(A, base_model=made.name)


def test_after_its_period_a_model_is_deleted_with_all_that_belongs_to_it(platform: Platform) -> None:
    made, other = model(platform), model(platform)
    platform.put_artifact(f"org_a/jobs/{made.job_id}/m/exports/gguf/model.gguf", "x")
    platform.put_artifact(f"org_a/jobs/{made.job_id}/m2/of-another", "x")
    platform.put_artifact("org_a/jobs/processing/proc_1/model.zip", "x")
    kept = {"gguf": {"uri": "s3://luthier-artifacts/org_a/jobs/processing/proc_1/", "files": [], "proof": None}}
    made = platform.model_store.save(made, replace(made, formats=kept))
    platform.models.update(A, made.id, {"name": "chat"})
    platform.retention.archive(A, made.id, retention_period="90d")
    assert sweep(platform, days=89.99) == {"deleted": [], "kept": []}
    assert sweep(platform, days=0.01) == {"deleted": [made.id], "kept": []}
    assert objects(platform, made) == [f"org_a/jobs/{made.job_id}/m2/of-another"]
    assert platform.s3.list_objects_v2(Bucket="luthier-artifacts", Prefix="org_a/jobs/processing/")["KeyCount"] == 0
    assert items(platform, made.id, "chat", *made.names) == []
    assert fresh(platform, other) == other
    assert objects(platform, other)
    assert platform.events()[-1] == "model.deleted"
    assert sweep(platform) == {"deleted": [], "kept": []}


def test_its_jobs_checkpoints_go_with_it_and_what_the_job_shows_stays(platform: Platform) -> None:
    made = model(platform)
    folder = f"org_a/jobs/{made.job_id}/checkpoints/1"
    for name in ("checkpoint-10/adapter_model.safetensors", "metrics.jsonl", "result.json"):
        platform.put_artifact(f"{folder}/{name}", "x")
    platform.retention.delete(A, made.id)
    sweep(platform)
    assert objects(platform, made) == [f"{folder}/metrics.jsonl", f"{folder}/result.json"]


def test_a_deleted_model_is_gone_at_once_and_its_objects_with_the_next_sweep(platform: Platform) -> None:
    made = model(platform)
    platform.retention.delete(A, made.name)
    for name in (made.id, *made.names):
        assert platform.models.find("org_a", name) is None
    with pytest.raises(NotFound):
        platform.retention.delete(A, made.id)
    assert objects(platform, made)
    assert sweep(platform)["deleted"] == [made.id]
    assert objects(platform, made) == []
    assert items(platform, made.id, *made.names) == []


def test_its_names_are_free_again(platform: Platform) -> None:
    made, other = model(platform), model(platform)
    platform.retention.delete(A, made.id)
    assert platform.models.update(A, other.id, {"name": made.name.replace(":", "-")}).name


class Died(BaseException):
    """The function ends here."""


def test_a_deletion_that_dies_anywhere_is_finished_by_the_next_sweep(platform: Platform) -> None:
    """At every call to AWS that deleting a model by request and by sweep makes."""
    first, done, last = model(platform), False, 0
    processing.eval_set(platform, A)
    while not done:
        made, last = copy(platform, first, artifact_uri=f"s3://luthier-artifacts/org_a/jobs/{last}/m"), last + 1
        made = replace(made, job_id=f"{last - 1}")
        platform.put_artifact(f"org_a/jobs/{made.job_id}/m/model_card.json", "{}")
        table.transact(platform.dynamodb, platform.model_store.use_writes("org_a", made.id, "ftjob_gone"))
        evaluation = evaluated(platform, made)
        with suppress(Died), dying(platform, last):
            platform.retention.delete(A, made.id)
            sweep(platform)
            done = True
        if platform.models.find("org_a", made.id):
            platform.retention.delete(A, made.id)
        sweep(platform)
        assert objects(platform, made) == [], last
        assert objects_under(platform, evaluation.folder) == [], last
        assert items(platform, made.id) == [], last
        assert platform.events().count("model.deleted") == last
    assert last > 10


class dying:
    """The calls to AWS end the function at the one of that number."""

    def __init__(self, platform: Platform, last: int) -> None:
        self._clients, self._left = (platform.dynamodb, platform.s3), last

    def __enter__(self) -> None:
        for client in self._clients:
            client.meta.events.register("before-call.*.*", self._count, unique_id="dying")

    def __exit__(self, *_: Any) -> None:
        for client in self._clients:
            client.meta.events.unregister("before-call.*.*", unique_id="dying")

    def _count(self, **_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            raise Died


@pytest.mark.parametrize("state", ["queued", "running", "paused", "failed", "stopped"])
def test_what_a_job_may_still_read_is_kept_and_looked_at_again(platform: Platform, state: str) -> None:
    made = model(platform)
    job = platform.job(A, base_model=made.id)
    if state == "running":
        platform.launch(job)
    elif state == "failed":
        platform.launch(job)
        platform.training_job(platform.fresh(job), "Failed", FailureReason="AlgorithmError: no")
        platform.pipeline.settle(platform.step(job))
    elif state in ("paused", "stopped"):
        (platform.jobs.pause if state == "paused" else platform.jobs.stop)(A, job.id)
    with pytest.raises(Conflict, match=job.id) as refused:
        platform.retention.delete(A, made.id)
    assert refused.value.details["usedBy"] == [job.id]
    platform.retention.archive(A, made.id, retention_period="1d")
    assert sweep(platform, days=2) == {"deleted": [], "kept": [made.id]}
    archived = fresh(platform, made).archived
    assert archived is not None
    assert job.id in archived["kept_because"]
    assert objects(platform, made)
    assert sweep(platform, minutes=59) == {"deleted": [], "kept": []}
    platform.jobs.stop(A, job.id) if state in ("queued", "running") else None
    if state == "running":
        platform.training_job(platform.fresh(job), "Stopped")
        platform.pipeline.settle(platform.step(job))
    platform.jobs.delete(A, job.id)
    assert sweep(platform, minutes=2)["deleted"] == [made.id]


def test_a_job_that_has_completed_needs_its_model_no_more(platform: Platform) -> None:
    made = model(platform)
    platform.completed(A, base_model=made.id)
    platform.retention.delete(A, made.id)
    assert sweep(platform)["deleted"] == [made.id]


def test_a_model_is_not_deleted_while_its_own_job_is_at_work(platform: Platform) -> None:
    job = platform.launched(A)
    platform.training_job(job, "Completed", BillableTimeInSeconds=1)
    platform.put_artifact(f"org_a/jobs/{job.id}/m/model_card.json", "{}")
    platform.pipeline.register_model(platform.step(job))
    made = platform.models.of_job(job)
    assert made is not None
    with pytest.raises(Conflict, match=job.id):
        platform.retention.delete(A, made.id)


def test_a_job_that_starts_while_its_model_is_deleted_is_refused_or_keeps_it(platform: Platform) -> None:
    made = model(platform)
    writes = platform.models.use_writes(platform.job(A, base_model=made.id))
    seen = fresh(platform, made)
    table.transact(platform.dynamodb, writes)
    with pytest.raises(table.ConditionFailed):
        table.transact(platform.dynamodb, platform.model_store.removal(seen))
    table.transact(platform.dynamodb, platform.model_store.removal(fresh(platform, made)))
    with pytest.raises(Conflict, match="removed"):
        table.transact(platform.dynamodb, writes)


def test_a_deployment_keeps_an_archived_model_whatever_wrote_it(platform: Platform) -> None:
    made = model(platform)
    archived = platform.retention.archive(A, made.id, retention_period="1d")
    deployed(platform, archived)
    assert sweep(platform, days=2)["kept"] == [made.id]


def test_an_alias_keeps_the_model_that_it_leads_to(platform: Platform) -> None:
    from luthier.aliases.service import Wanted

    made = model(platform)
    deployment = platform.deployed(A, made.id)
    platform.aliases.put(A, "chat", routes=[Wanted(deployment_id=deployment.id)])
    one = fresh(platform, made)
    platform.model_store.save(one, one.linked(deployment.id, None))
    with pytest.raises(Conflict, match="chat"):
        platform.retention.delete(A, made.id)


def test_a_model_takes_its_evaluations_with_it_and_no_others(platform: Platform) -> None:
    processing.eval_set(platform, A)
    made, other = model(platform), model(platform)
    gone, kept = evaluated(platform, made), evaluated(platform, other)
    assert objects_under(platform, gone.folder)
    platform.retention.delete(A, made.id)
    assert sweep(platform)["deleted"] == [made.id]
    assert objects_under(platform, gone.folder) == items(platform, made.id, gone.id) == []
    assert objects_under(platform, kept.folder)
    assert processing.fresh(platform, kept) == kept


def test_a_model_is_kept_while_it_is_evaluated(platform: Platform) -> None:
    processing.eval_set(platform, A)
    made = model(platform)
    begun = evaluating(platform, made)
    with pytest.raises(Conflict, match=begun.id) as refused:
        platform.retention.delete(A, made.id)
    assert refused.value.details == {"current": "ready", "usedBy": [begun.id]}
    platform.retention.archive(A, made.id, retention_period="1d")
    assert sweep(platform, days=2) == {"deleted": [], "kept": [made.id]}
    processing.finish(platform, begun)
    assert sweep(platform, hours=2) == {"deleted": [made.id], "kept": []}
    assert objects_under(platform, begun.folder) == []


def test_an_evaluation_that_begins_while_its_model_is_deleted_is_waited_for(platform: Platform) -> None:
    processing.eval_set(platform, A)
    made = model(platform)
    begun = evaluating(platform, made)
    platform.retention._remains.delete(fresh(platform, made), clock.iso(platform.clock()))
    assert sweep(platform) == {"deleted": [], "kept": []}
    assert objects(platform, made)
    with pytest.raises(NotFound):
        processing.plan(platform, begun)
    processing.settle(platform, begun, {"Error": "NotFound"})
    assert sweep(platform) == {"deleted": [made.id], "kept": []}
    assert objects(platform, made) == items(platform, made.id) == []


def test_one_that_cannot_be_deleted_holds_back_no_other(platform: Platform) -> None:
    bad, good = model(platform), model(platform)
    elsewhere = platform.model_store.save(bad, replace(bad, artifact_uri="s3://no-such-bucket/x"))
    platform.retention.delete(A, elsewhere.id)
    platform.retention.delete(A, good.id)
    assert sweep(platform) == {"deleted": [good.id], "kept": []}
    platform.s3.create_bucket(Bucket="no-such-bucket")
    assert sweep(platform)["deleted"] == [bad.id]


def test_the_sweeper_reads_an_index_not_every_model(platform: Platform) -> None:
    from tests.functional.models.world import calls, some

    some(platform, 5)
    with calls(platform) as seen:
        assert sweep(platform) == {"deleted": [], "kept": []}
    assert seen == ["Query"]


def test_a_model_that_a_pipeline_registers_again_is_the_same(platform: Platform) -> None:
    made = model(platform)
    assert platform.models.register(platform.fresh_by_id(made.job_id), "s3://luthier-artifacts/other", {}) == made
    assert platform.model_store.counts("org_a").total == 1
