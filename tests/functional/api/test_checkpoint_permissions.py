"""Checkpoints shared with other organizations, by OpenAI's own client and strict about what it gets."""

from dataclasses import dataclass

import openai
import pytest

from luthier.jobs.entity import Job
from tests.functional.api.test_openai_client import client_of
from tests.functional.api.test_openai_fine_tuning import METRICS, WHOLE
from tests.functional.imports import world as imports
from tests.functional.processing import world as processing
from tests.gateway import Answer, Gateway

IMPORT = "/v2/training/models/import"


@dataclass
class Shared:
    job: Job
    name: str


@pytest.fixture
def shared(api: Gateway) -> Shared:
    """A checkpoint of a completed job of org_a."""
    job = api.platform.launched(suffix="mine")
    api.platform.write_metrics(job, *METRICS)
    api.platform.complete(job)
    for name in WHOLE:
        api.platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/checkpoint-7/{name}", "x")
    [checkpoint] = client_of(api).fine_tuning.jobs.checkpoints.list(job.id).data
    return Shared(job, checkpoint.fine_tuned_model_checkpoint)


def taken(who: Gateway, name: str) -> Answer:
    return who.post(IMPORT, {"name": "theirs", "source": {"type": "checkpoint", "checkpoint": name}})


def test_a_checkpoint_is_whoevers_it_is_shared_with_and_nobody_elses(api: Gateway, shared: Shared) -> None:
    theirs, strangers = (api.caller("admin", organization_id=name) for name in ("org_b", "org_c"))
    assert taken(theirs, shared.name).status == 404
    client = client_of(api)
    permissions = client.fine_tuning.checkpoints.permissions
    [given] = permissions.create(shared.name, project_ids=["org_b"])
    assert (given.object, given.project_id) == ("checkpoint.permission", "org_b")
    assert taken(strangers, shared.name).status == 404
    begun = taken(theirs, shared.name)
    assert begun.status == 201, begun.text
    adopting = imports.processing(api.platform, begun.json()["id"], "org_b")
    processing.finish(api.platform, adopting, {"model_card.json": imports.CARD})
    assert theirs.get(f"/v1/models/{shared.name}").json()["owned_by"] == "org_b"
    assert permissions.delete(given.id, fine_tuned_model_checkpoint=shared.name).deleted
    # What they have made of it stays theirs.
    assert theirs.get(f"/v1/models/{shared.name}").status == 200
    assert taken(api.caller("admin", organization_id="org_b"), shared.name).status == 404


def test_permissions_are_listed_page_by_page_and_given_once(api: Gateway, shared: Shared) -> None:
    permissions = client_of(api).fine_tuning.checkpoints.permissions
    first = permissions.create(shared.name, project_ids=["org_b", "org_c", "org_b"]).data
    assert [one.project_id for one in first] == ["org_b", "org_c"]
    again = permissions.create(shared.name, project_ids=["org_c", "org_d"]).data
    assert again[0] == first[1]
    listed = [one.project_id for one in permissions.list(shared.name, limit=1, order="ascending")]
    assert sorted(listed) == ["org_b", "org_c", "org_d"]
    assert [one.id for one in permissions.list(shared.name)] == [
        one.id for one in reversed(list(permissions.list(shared.name, order="ascending")))
    ]
    [one] = permissions.list(shared.name, project_id="org_c")
    assert one.id == first[1].id


def test_bad_permissions_are_refused_by_the_name_of_their_field(api: Gateway, shared: Shared) -> None:
    permissions = client_of(api).fine_tuning.checkpoints.permissions
    for wrong in ([], ["org_a"], ["no organization"]):
        with pytest.raises(openai.BadRequestError) as refused:
            permissions.create(shared.name, project_ids=wrong)
        assert str(refused.value.param).startswith("project_ids")
    for name in ("ft:none", shared.name.replace("step-7", "step-8")):
        with pytest.raises(openai.NotFoundError):
            permissions.create(name, project_ids=["org_b"])
    with pytest.raises(openai.NotFoundError):
        permissions.delete("cp_none", fine_tuned_model_checkpoint=shared.name)
    with pytest.raises(openai.BadRequestError):
        permissions.list(shared.name, after="cp_none")
    permissions.create(shared.name, project_ids=[f"org_{number}" for number in range(100)])
    with pytest.raises(openai.ConflictError):
        permissions.create(shared.name, project_ids=["org_x"])
    writer = api.caller("fine-tuning:write")
    assert (
        writer.post(f"/v1/fine_tuning/checkpoints/{shared.name}/permissions", {"project_ids": ["org_b"]}).status == 403
    )


def test_who_is_no_owner_cannot_share(api: Gateway, shared: Shared) -> None:
    theirs = client_of(api.caller("admin", organization_id="org_b"))
    with pytest.raises(openai.NotFoundError):
        theirs.fine_tuning.checkpoints.permissions.create(shared.name, project_ids=["org_c"])
