"""Where requests under an alias go, and when an alias goes back."""

from typing import Any

import pytest

from luthier import table
from luthier.aliases.entity import Rollback
from luthier.aliases.service import Wanted
from luthier.errors import Conflict, InvalidRequest, LuthierError, NotFound, Unavailable
from tests.factories import BASE_MODEL, principal
from tests.fakes import refusal
from tests.functional.aliases.world import A, World

ASLEEP = "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress"


def events(world: World, name: str) -> list[dict[str, Any]]:
    found = table.query(
        world.platform.dynamodb,
        TableName="luthier",
        KeyConditionExpression="pk = :p AND begins_with(sk, :e)",
        ExpressionAttributeValues={":p": {"S": "ORG#org_a"}, ":e": {"S": "EVENT#"}},
    )
    return [item["data"] for item in found if item["type"] == name]


def test_an_alias_answers_under_its_own_name_and_tells_who_has_answered(world: World) -> None:
    world.put(old=1)
    answered = world.ask()
    assert answered.content["model"] == "support"
    assert (answered.by.deployment_id, answered.by.version) == (world.old.id, world.old.model_version)


def test_requests_are_split_by_weight(world: World) -> None:
    alias = world.put(old=3, new=1)
    assert [route.weight for route in alias.routes] == [0.75, 0.25]
    split = world.asked(200)
    assert 130 < split[world.old.id] < 170
    assert split[world.old.id] + split[world.new.id] == 200


def test_a_move_that_fails_too_often_goes_back_and_says_why(world: World) -> None:
    world.put(old=1)
    world.put(new=1, rollback=Rollback(max_error_rate=0.5, minimum_requests=10))
    world.breaks(world.new)
    assert world.asked(30) == {"": 10, world.old.id: 20}
    alias = world.get()
    assert (alias.state, alias.routes[0].deployment_id) == ("rolled_back", world.old.id)
    assert alias.previous[0].deployment_id == world.new.id
    assert alias.fault == {"deployment_id": world.new.id, "requests": 10, "errors": 10, "error_rate": 1.0}
    (told,) = events(world, "alias.rolled_back")
    assert (told["deploymentId"], told["requests"], told["errors"]) == (world.new.id, 10, 10)
    assert len(events(world, "alias.moved")) == 2


def test_a_canary_is_judged_by_its_own_requests(world: World) -> None:
    world.put(old=1)
    world.put(old=9, new=1, rollback=Rollback(minimum_requests=5))
    world.breaks(world.new)
    answered = world.asked(120)
    assert world.get().state == "rolled_back"
    assert answered == {"": 5, world.old.id: 115}


def test_an_error_rate_that_is_allowed_moves_nothing_back(world: World) -> None:
    world.put(old=1)
    world.put(new=1, rollback=Rollback(max_error_rate=0.5, minimum_requests=4))
    for number in range(20):
        world.broken.clear()
        if number % 2:
            world.breaks(world.new)
        world.asked(1)
    alias = world.get()
    assert alias.state == "watching"
    assert alias.counts == {world.new.id: {"requests": 20, "errors": 10}}


def test_what_callers_do_wrong_is_not_counted(world: World) -> None:
    world.put(old=1)
    world.put(new=1, rollback=Rollback(minimum_requests=1))
    world.breaks(world.new, status=400)
    with pytest.raises(InvalidRequest):
        world.ask()
    assert world.get().counts == {world.new.id: {"requests": 0, "errors": 0}}


def test_an_endpoint_that_hangs_counts_as_failing(world: World) -> None:
    world.put(old=1)
    world.put(new=1, rollback=Rollback(minimum_requests=2))
    world.breaks(world.new, TimeoutError("Read timed out."))
    assert world.asked(3) == {"": 2, world.old.id: 1}


def test_after_the_window_a_move_stays(world: World) -> None:
    world.put(old=1)
    world.put(new=1, rollback=Rollback(minimum_requests=1, window_seconds=60))
    world.platform.clock.advance(seconds=60)
    world.breaks(world.new)
    assert world.asked(5) == {"": 5}
    assert world.get().state_at(world.platform.clock()) == "stable"


def test_a_new_alias_has_nothing_to_go_back_to(world: World) -> None:
    world.put(new=1, rollback=Rollback(minimum_requests=1))
    world.breaks(world.new)
    assert world.asked(3) == {"": 3}
    assert (world.get().state, world.get().counts) == ("stable", {})


def test_weights_alone_are_a_move_of_all_routes(world: World) -> None:
    world.put(old=1, new=1)
    assert set(world.put(old=1, new=3).counts) == {world.old.id, world.new.id}


def test_requests_under_way_while_it_moves_back_change_nothing(world: World) -> None:
    world.put(old=1)
    before = world.put(new=1, rollback=Rollback(minimum_requests=2))
    for _ in range(6):
        # Each still sees the alias as it was when its request began.
        world.platform.aliases.note(before, world.new.id, failed=True)
    alias = world.get()
    assert (alias.move, len(events(world, "alias.rolled_back"))) == (before.move + 1, 1)
    assert alias.routes[0].deployment_id == world.old.id


def test_of_two_that_would_move_back_one_does(world: World) -> None:
    world.put(old=1)
    alias = world.put(new=1, rollback=Rollback(minimum_requests=1))
    counted = world.platform.aliases._store.count(alias, world.new.id, failed=True)
    assert counted is not None
    for _ in range(2):
        world.platform.aliases._move_back(counted, world.new.id)
    assert len(events(world, "alias.rolled_back")) == 1


def test_a_move_by_hand_is_not_taken_back_for_the_one_before(world: World) -> None:
    world.put(old=1)
    failing = world.put(new=1, rollback=Rollback(minimum_requests=1))
    counted = world.platform.aliases._store.count(failing, world.new.id, failed=True)
    assert counted is not None
    world.put(old=1, new=1)
    world.platform.aliases._move_back(counted, world.new.id)
    assert len(world.get().routes) == 2
    assert world.get().state == "watching"


def test_counting_never_costs_the_answer(world: World) -> None:
    world.put(old=1)
    world.put(new=1)

    def broken(*_: Any, **__: Any) -> None:
        raise refusal("ThrottlingException", "Slow down.")

    world.platform.aliases._store.count = broken  # type: ignore[method-assign]
    assert world.ask().by.deployment_id == world.new.id


@pytest.mark.parametrize("message", [ASLEEP, "Endpoint not found."])
def test_another_route_answers_for_one_that_sleeps_or_is_gone(world: World, message: str) -> None:
    world.put(old=1, new=1)
    world.breaks(world.new, refusal("ValidationError", message))
    assert world.asked(20) == {world.old.id: 20}


def test_another_route_answers_for_one_that_was_paused_or_deleted(world: World) -> None:
    world.put(old=1, new=1)
    world.platform.deployments.pause(A, world.new.id)
    assert world.asked(10) == {world.old.id: 10}
    paused = world.platform.deployments.get(A, world.new.id)
    world.platform.run_deployment(paused)
    world.platform.run_deployment(world.platform.deployments.delete(A, world.new.id))
    assert world.asked(10) == {world.old.id: 10}


def test_sleeping_is_no_fault_and_where_every_route_sleeps_the_first_ones_word_counts(world: World) -> None:
    world.put(old=1)
    world.put(new=1, rollback=Rollback(minimum_requests=1))
    world.breaks(world.new, refusal("ValidationError", ASLEEP))
    with pytest.raises(Unavailable, match="'support' sleeps") as refused:
        world.ask()
    assert refused.value.code == "model_sleeping"
    assert world.get().counts[world.new.id] == {"requests": 0, "errors": 0}


def test_an_engine_that_fails_is_not_asked_elsewhere(world: World) -> None:
    world.put(old=1, new=1)
    world.breaks(world.old)
    world.breaks(world.new)
    with pytest.raises(Unavailable) as refused:
        world.ask()
    assert refused.value.code == "model_failed"


def test_putting_the_same_routes_again_is_no_move(world: World) -> None:
    world.put(old=1)
    moved = world.put(old=1, new=1)
    world.asked(4)
    again = world.put(old=5, new=5)
    assert (again.move, again.writes) == (moved.move, moved.writes)
    routes = [Wanted(deployment_id=one.id) for one in (world.old, world.new)]
    described = world.platform.aliases.put(A, "support", routes=routes, description="Live.")
    assert (described.move, described.description) == (moved.move, "Live.")
    assert described.counts[world.new.id]["requests"] > 0
    assert len(events(world, "alias.moved")) == 2


def test_routes_are_found_by_any_name_of_their_model(world: World) -> None:
    model = world.platform.models.get(A, world.old.target)
    for name in (*model.names, model.id):
        (route,) = world.platform.aliases.put(A, "support", routes=[Wanted(model=name)]).routes
        assert (route.deployment_id, route.target) == (world.old.id, model.id)


def test_only_active_deployments_of_ones_own_can_be_routed_to(world: World) -> None:
    def put(deployment_id: str | None = None, model: str | None = None) -> Any:
        return world.platform.aliases.put(A, "support", routes=[Wanted(deployment_id, model)])

    with pytest.raises(Conflict) as unready:
        put(model=BASE_MODEL)
    assert (unready.value.param, unready.value.details["current"]) == ("routes[0].model", "not deployed")
    world.platform.deployments.pause(A, world.old.id)
    with pytest.raises(Conflict) as paused:
        put(deployment_id=world.old.id)
    assert (paused.value.param, paused.value.details["current"]) == ("routes[0].deploymentId", "pausing")
    foreign = world.deployed("theirs", principal("org_b"))
    with pytest.raises(NotFound) as unknown:
        put(deployment_id=foreign.id)
    assert unknown.value.param == "routes[0].deploymentId"


def test_another_organization_has_its_own_aliases(world: World) -> None:
    world.put(old=1)
    with pytest.raises(LuthierError) as refused:
        world.platform.inference.complete(principal("org_b"), {"model": "support", "messages": []})
    assert refused.value.status == 404
    assert world.platform.aliases.of_organization(principal("org_b")) == []


def test_a_name_belongs_to_one_model_or_alias(world: World) -> None:
    model = world.platform.models.get(A, world.old.target)
    with pytest.raises(Conflict) as taken:
        world.put(model.name, old=1)
    assert taken.value.code == "name_taken"
    with pytest.raises(Conflict) as base:
        world.put(BASE_MODEL, old=1)
    assert base.value.code == "name_taken"
    world.put(f"{BASE_MODEL}-next", old=1)
    assert world.platform.completed(A, suffix="next").result_model == f"{BASE_MODEL}-next-2"
    world.platform.aliases.delete(A, f"{BASE_MODEL}-next")
    assert world.platform.completed(A, suffix="next").result_model == f"{BASE_MODEL}-next"


def test_a_deleted_alias_gives_its_place_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.aliases.store.MOST", 1)
    world.put("one", old=1)
    with pytest.raises(Conflict) as refused:
        world.put("two", old=1)
    assert refused.value.code == "too_many_aliases"
    world.put("one", new=1)
    world.platform.aliases.delete(A, "one")
    with pytest.raises(NotFound):
        world.platform.aliases.delete(A, "one")
    world.put("two", old=1)
    assert [alias.name for alias in world.platform.aliases.of_organization(A)] == ["two"]


def test_who_refers_to_a_deployment_or_model(world: World) -> None:
    def references(subject: str) -> list[str]:
        return world.platform.aliases.references("org_a", subject)

    world.put("one", old=1)
    world.put("two", old=1, new=1)
    assert references(world.old.id) == references(world.old.target) == ["one", "two"]
    assert references(world.new.id) == ["two"]
    world.put("one", new=1)
    # It may still move back.
    assert references(world.old.id) == ["one", "two"]
    world.platform.clock.advance(seconds=600)
    assert references(world.old.id) == ["two"]
    assert references("ep_none") == []


def test_a_models_own_name_costs_one_read_more_at_most_and_an_id_none(world: World) -> None:
    reads: list[str] = []
    inner = world.platform.dynamodb._make_api_call

    def counted(operation: str, request: dict[str, Any]) -> Any:
        if operation in ("GetItem", "Query"):
            reads.append(str(request))
        return inner(operation, request)

    world.platform.dynamodb._make_api_call = counted
    for name, most in ((world.old.model_name, 1), (world.old.target, 0), (world.old.id, 0), (f"ft:{BASE_MODEL}", 0)):
        reads.clear()
        try:
            world.ask(name)
        except NotFound:
            assert name.startswith("ft:")
        assert len([read for read in reads if "ALIAS#" in read]) == most
    world.put(old=1)
    reads.clear()
    world.ask()
    # The alias, its deployment, and the model for its behaviour spec.
    assert len(reads) == 3


def test_what_an_alias_leads_to_alone_is_not_deleted(world: World) -> None:
    world.put(old=1)
    with pytest.raises(Conflict) as refused:
        world.platform.deployments.delete(A, world.old.id)
    assert refused.value.details == {"aliases": ["support"]}
    world.put(old=0.5, new=0.5)
    world.platform.clock.advance(minutes=11)
    assert world.platform.deployments.delete(A, world.old.id).status == "deleting"
    # The other one is all that is left.
    with pytest.raises(Conflict):
        world.platform.deployments.delete(A, world.new.id)


def test_what_a_watched_alias_would_move_back_to_is_not_deleted(world: World) -> None:
    world.put(old=1)
    world.put(new=1)
    with pytest.raises(Conflict) as refused:
        world.platform.deployments.delete(A, world.old.id)
    assert refused.value.details == {"aliases": ["support"]}
    world.platform.clock.advance(minutes=11)
    assert world.platform.deployments.delete(A, world.old.id).status == "deleting"


def test_an_alias_does_not_move_back_to_what_answers_no_more(world: World) -> None:
    world.put(old=1)
    world.put(new=1, rollback=Rollback(max_error_rate=0.5, minimum_requests=2))
    world.platform.run_deployment(world.platform.deployments.pause(A, world.old.id))
    world.breaks(world.new)
    world.asked(4)
    assert (world.get().state, world.get().routes[0].deployment_id) == ("watching", world.new.id)


def test_whoever_deletes_while_an_alias_moves_there_reads_again(world: World) -> None:
    deployments, store = world.platform.deployments, world.platform.deployment_store
    save, moved = store.save, []

    def late(old: Any, new: Any, *told: Any) -> None:
        if not moved:
            moved.append(world.put(old=1))
        save(old, new, *told)

    store.save = late  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        deployments.delete(A, world.old.id)
    assert deployments.get(A, world.old.id).status == "active"
