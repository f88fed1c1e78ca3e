"""Whoever joins an upload may die at any call, before or after it took effect: nothing is left half made."""

from contextlib import suppress

import pytest

from luthier.datasets.entity import Dataset
from tests.factories import Platform, principal
from tests.functional.batches.test_dying import Fate, Killed, Mortal
from tests.functional.uploads.world import CONTENT, PARTS, World


@pytest.mark.parametrize("client_returns", [True, False], ids=["the client asks again", "nobody asks again"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_wherever_a_completion_dies_there_is_one_whole_file_or_none(
    platform: Platform, moment: str, client_returns: bool
) -> None:
    calm, nth, struck, made = World(platform), 0, True, 0
    while struck:
        nth += 1
        who = principal(f"org_{nth}")
        fate = Fate(nth, moment)
        mortal = World(platform, Mortal(platform.dynamodb, fate), Mortal(platform.s3, fate))
        upload = calm.begin(who=who)
        parts = calm.add(upload, *PARTS, who=who)
        with suppress(Killed):
            mortal.service.complete(who, upload.id, part_ids=parts)
        struck, death = fate.struck, f"killed {moment} call {nth}"
        if client_returns:
            calm.service.complete(who, upload.id, part_ids=parts)
        calm.sweep(minutes=2)
        files = calm.datasets.list(who).items
        if client_returns or calm.service.get(who, upload.id).status == "completed":
            made += 1
            assert_whole(calm, files, who.organization_id, death)
        else:
            assert files == [], death
        lying = [key for key in calm.objects() if who.organization_id in key]
        # What it leaves at its very end goes by the bucket's own rule.
        assert [key for key in lying if not key.startswith(".uploads/")] == [file.s3_key for file in files], death
    assert nth > 10
    assert made > 5


def assert_whole(world: World, files: list[Dataset], organization_id: str, death: str) -> None:
    assert [(file.status, file.rows, world.read(file)) for file in files] == [("processed", 9, CONTENT)], death
    assert world.events(organization_id) == ["dataset.validated"], death
