import json
from typing import Any

import pytest

from functions.pipeline.step import StepFailed, step
from luthier.errors import Conflict, LuthierError


def raising(error: Exception) -> Any:
    @step
    def handler(event: dict[str, Any]) -> dict[str, Any]:
        raise error

    return handler


def test_the_answer_of_a_step_joins_what_the_machine_carries() -> None:
    assert step(lambda event: {"verdict": "completed"})({"job_id": "j"}, None) == {
        "job_id": "j",
        "verdict": "completed",
    }


def test_a_refusal_travels_as_code_message_and_hint() -> None:
    with pytest.raises(StepFailed) as failed:
        raising(LuthierError("It is gone.", code="dataset_not_found", remedy="Upload it."))({}, None)
    said = json.loads(str(failed.value))
    assert said == {"code": "dataset_not_found", "message": "It is gone.", "hint": "Upload it."}


@pytest.mark.parametrize("error", [Conflict("It keeps changing.", retry_after=1), TimeoutError("throttled")])
def test_what_passes_with_time_is_no_refusal_so_that_the_machine_tries_again(error: Exception) -> None:
    with pytest.raises(type(error)):
        raising(error)({}, None)
