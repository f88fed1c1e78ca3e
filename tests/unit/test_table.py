"""Reading, and writing what was read unchanged."""

import pytest

from luthier import table
from luthier.errors import Conflict


class Moved(table.ConditionFailed):
    def __init__(self) -> None:
        super().__init__(0)


def test_whoever_loses_a_race_reads_and_writes_again() -> None:
    refusals = [table.ConditionFailed(0)] * 3

    def attempt() -> str:
        if refusals:
            raise refusals.pop()
        return "written"

    assert table.until_unchanged("job", attempt) == "written"


def test_whoever_always_loses_is_told_to_come_back() -> None:
    def attempt() -> None:
        raise table.ConditionFailed(0)

    with pytest.raises(Conflict, match="changed ftjob_1 at once") as refused:
        table.until_unchanged("ftjob_1", attempt)
    assert refused.value.retry_after == 1


def test_a_refusal_that_no_second_try_changes_is_let_through() -> None:
    refusals = [table.ConditionFailed(2)]

    def attempt() -> None:
        raise refusals.pop()

    with pytest.raises(table.ConditionFailed):
        table.until_unchanged("credits", attempt, Moved)
