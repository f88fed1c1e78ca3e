"""Changing a model's name, description, tags and metadata, also from several places at once."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from luthier import table
from luthier.errors import Conflict, InvalidRequest, NotFound
from luthier.models.names import MOST
from tests.factories import BASE_MODEL, Platform
from tests.functional.models.world import A, B, deployed, fresh, model


def update(platform: Platform, of: str, **changes: Any) -> Any:
    return platform.models.update(A, of, changes)


def test_what_is_not_sent_stays_and_what_is_sent_replaces(platform: Platform) -> None:
    made = model(platform, description="first")
    update(platform, made.id, tags=["a", "b"], metadata={"k": "v", "l": "w"})
    platform.clock.advance(hours=1)
    changed = update(platform, made.id, metadata={"k": "x"})
    assert (changed.description, changed.tags, changed.metadata) == ("first", ["a", "b"], {"k": "x"})
    assert changed.updated_at > made.updated_at
    assert update(platform, made.id, description=None).description is None
    assert fresh(platform, made).tags == ["a", "b"]


def test_a_change_of_nothing_writes_nothing(platform: Platform) -> None:
    made = update(platform, model(platform).id, tags=["a"])
    platform.clock.advance(hours=1)
    assert update(platform, made.id, tags=["a"], name=made.name) == made
    assert update(platform, made.id) == made


def test_a_new_name_resolves_and_so_do_the_old_ones(platform: Platform) -> None:
    made = model(platform)
    changed = update(platform, made.name, name="support/v2")
    assert (changed.name, changed.names) == ("support/v2", ["support/v2", *made.names])
    back = update(platform, "support/v2", name=made.name)
    assert back.name == made.name
    for name in (*made.names, "support/v2", made.id):
        assert platform.models.get(A, name).id == made.id


def test_a_job_trains_on_from_a_model_under_its_new_name(platform: Platform) -> None:
    made = model(platform)
    update(platform, made.id, name="support-v2")
    assert platform.job(A, base_model="support-v2").start_from["model_id"] == made.id  # type: ignore[index]


def test_a_name_of_another_model_or_of_a_base_model_is_taken(platform: Platform) -> None:
    one, other = model(platform), model(platform)
    for name in (other.name, other.names[0], BASE_MODEL):
        with pytest.raises(Conflict) as refused:
            update(platform, one.id, name=name)
        assert (refused.value.code, refused.value.param) == ("name_taken", "name")
    assert fresh(platform, one) == one


def test_the_name_of_an_alias_is_taken(platform: Platform) -> None:
    made = model(platform)
    item = table.key("org_a", table.model_name("chat")) | {"model_id": None, "alias": "chat"}
    platform.dynamodb.put_item(TableName="luthier", Item=table.encode(item))
    with pytest.raises(Conflict, match="an alias of yours"):
        update(platform, made.id, name="chat")


def test_other_organizations_use_the_same_names(platform: Platform) -> None:
    update(platform, model(platform).id, name="chat")
    theirs = platform.models.of_job(platform.completed(B))
    assert theirs is not None
    assert platform.models.update(B, theirs.id, {"name": "chat"}).name == "chat"


def test_a_model_has_so_many_names_and_no_more(platform: Platform) -> None:
    made = model(platform)
    for number in range(MOST - len(made.names)):
        made = update(platform, made.id, name=f"name-{number}")
    with pytest.raises(Conflict) as refused:
        update(platform, made.id, name="one-more")
    assert refused.value.code == "too_many_names"
    assert update(platform, made.id, name="name-0").name == "name-0"


def test_a_wrong_name_is_refused_before_anything_is_read(platform: Platform) -> None:
    with pytest.raises(InvalidRequest):
        update(platform, "model_none", name="a b")


@pytest.mark.parametrize("name", ["model_none", "nothing"])
def test_an_unknown_model_is_not_found(platform: Platform, name: str) -> None:
    with pytest.raises(NotFound) as refused:
        update(platform, name, tags=[])
    assert refused.value.details == {"modelId": name}


def test_changes_at_once_lose_none_of_them(platform: Platform) -> None:
    made = model(platform)
    changes: list[dict[str, Any]] = [
        {"description": "new"}, {"tags": ["a"]}, {"metadata": {"k": "v"}}, {"name": "renamed"},
    ]  # fmt: skip
    at_once([lambda change=change: platform.models.update(A, made.id, change) for change in changes])
    after = fresh(platform, made)
    assert (after.description, after.tags, after.metadata, after.name) == ("new", ["a"], {"k": "v"}, "renamed")
    assert after.writes == made.writes + len(changes)


def test_of_two_models_that_want_a_name_at_once_one_gets_it(platform: Platform) -> None:
    one, other = model(platform), model(platform)
    refused: list[Conflict] = []

    def rename(of: Any) -> None:
        try:
            update(platform, of.id, name="chat")
        except Conflict as conflict:
            refused.append(conflict)

    at_once([lambda: rename(one), lambda: rename(other)])
    assert [conflict.code for conflict in refused] == ["name_taken"]
    assert platform.models.get(A, "chat").id in (one.id, other.id)


def test_a_change_and_a_deployment_at_once_lose_neither(platform: Platform) -> None:
    made = model(platform)

    def link() -> None:
        facts = {"name": "n", "environment": "e", "status": "active", "workers": 1, "created_at": made.created_at}
        table.until_unchanged(
            "it",
            lambda: table.transact(
                platform.dynamodb, platform.model_store.deployment_writes("org_a", made.id, "ep_1", facts)
            ),
        )

    at_once([link, lambda: platform.models.update(A, made.id, {"tags": ["a"]})])
    after = fresh(platform, made)
    assert (after.status, list(after.deployments), after.tags) == ("deployed", ["ep_1"], ["a"])


def test_a_model_is_deployed_while_a_deployment_of_it_takes_requests(platform: Platform) -> None:
    made = model(platform)
    starting = deployed(platform, made, "deploying")
    assert starting.status == "ready"
    two = deployed(platform, deployed(platform, starting), "paused", "ep_2")
    assert (two.status, two.active_deployments) == ("deployed", ["ep_1"])
    assert two.linked("ep_1", None).status == "ready"


def test_an_archived_or_deleted_model_takes_no_deployment_and_lets_go_of_one(platform: Platform) -> None:
    archived, deleted = model(platform), model(platform)
    platform.retention.archive(A, archived.id)
    platform.retention.delete(A, deleted.id)
    facts = {"status": "deploying"}
    for one, kind in ((archived, Conflict), (deleted, NotFound)):
        with pytest.raises(kind):
            platform.model_store.deployment_writes("org_a", one.id, "ep_1", facts)
        assert platform.model_store.deployment_writes("org_a", one.id, "ep_1", None) == []


def at_once(calls: list[Callable[[], Any]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
