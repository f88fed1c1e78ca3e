"""What bounds batches: how many an organization has, and how long an answer takes."""

import pytest

from luthier.batches import answering
from luthier.errors import RateLimited
from tests.functional.batches.world import WHO, World


def test_an_organization_has_so_many_batches_at_once(world: World) -> None:
    world.store._most_live = 2
    first, _ = world.batch("a"), world.batch("b")
    before = len(world.objects())
    with pytest.raises(RateLimited) as refused:
        world.batch("c")
    assert (refused.value.code, refused.value.details) == ("unfinished_batches_exceeded", {"organization_limit": 2})
    assert len(world.objects()) == before
    world.service.cancel(WHO, first.id, "requests")
    world.work()
    assert [world.batch(question).total for question in "cd"] == [1, 1]


def test_an_answer_that_takes_too_long_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "ANSWER_SECONDS", -1)
    batch = world.batch("a")
    world.work()
    [row] = world.results(batch)
    assert (row["status"], row["error"]["code"]) == ("failed", "model_failed")
