"""The ids and names of processings."""

from luthier.processing.entity import Processing, id_of

SPEC = {"content": "x", "max_examples": 100}


def made() -> Processing:
    found = id_of("org_a", "evaluate", "model_1", SPEC)
    return Processing(found, "org_a", "evaluate", "model_1", "base", SPEC, "user", "t", "t")


def test_the_same_wish_has_the_same_id_in_whatever_order_it_is_said() -> None:
    assert id_of("org_a", "evaluate", "model_1", dict(reversed(SPEC.items()))) == made().id


def test_every_part_of_a_wish_makes_another_id() -> None:
    others = {
        id_of("org_b", "evaluate", "model_1", SPEC),
        id_of("org_a", "package", "model_1", SPEC),
        id_of("org_a", "evaluate", "model_2", SPEC),
        id_of("org_a", "evaluate", "model_1", SPEC | {"max_examples": 7}),
    }
    assert len(others | {made().id}) == 5


def test_no_job_name_comes_twice() -> None:
    first = made().next_launch("t")
    second = first.waiting("t", {}).next_launch("t")
    third = second.failed("t", {}, seconds=1, cost=0.1).again("t", {}, billed=False).next_launch("t")
    names = [processing.training_job_name or "" for processing in (first, second, third)]
    assert len(set(names)) == 3
    assert [name[-4:] for name in names] == ["-1-1", "-1-2", "-2-1"]
    assert max(map(len, names)) <= 63


def test_time_and_cost_add_up_over_attempts() -> None:
    once = made().failed("t", {}, seconds=10, cost=0.1)
    twice = once.again("t", {}, billed=False).completed("t", {}, seconds=5, cost=0.2)
    assert (twice.seconds, twice.cost, twice.writes) == (15, 0.3, 4)


def test_a_retry_takes_the_newer_place_of_what_it_needs() -> None:
    assert made().failed("t", {}, seconds=0, cost=0).again("t", {"uri": "new"}, billed=False).context == {"uri": "new"}
