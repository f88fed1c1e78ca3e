"""How commands end: a status for each family of failures."""

import pytest
import typer

from luthier.cli import stop
from luthier.client import errors

STATUSES = [
    (errors.ConnectionFailed("x"), 1),
    (errors.UnexpectedAnswer("x"), 1),
    (errors.InvalidRequest("x"), 2),
    (errors.Conflict("x"), 2),
    (errors.ConfigurationError("x", field="base_url"), 2),
    (OSError(2, "No such file", "train.jsonl"), 2),
    (errors.NotFound("x"), 3),
    (errors.AuthenticationError("x"), 4),
    (errors.PermissionDenied("x"), 4),
    (errors.ConfigurationError("x", field="api_key"), 4),
    (errors.PaymentRequired("x"), 5),
    (errors.RateLimited("x"), 6),
    (errors.ServiceUnavailable("x"), 6),
    (errors.WaitTimedOut("x", resource=None), 6),
    (errors.WorkFailed("x", resource=None), 7),
]


def raised(error: Exception) -> int:
    with pytest.raises(typer.Exit) as ended, stop.told():
        raise error
    return ended.value.exit_code


@pytest.mark.parametrize(("error", "status"), STATUSES)
def test_every_family_has_its_status(error: Exception, status: int) -> None:
    assert raised(error) == status


def test_every_family_of_the_client_is_known() -> None:
    assert set(errors.LuthierError.__subclasses__()) <= {type(error) for error, _ in STATUSES}


def test_what_is_said_has_message_remedy_and_request(capsys: pytest.CaptureFixture[str]) -> None:
    raised(errors.NotFound("There is no job x. Check the id.", code="job_not_found", status=404, request_id="req_1"))
    raised(errors.ConnectionFailed("It did not answer.", remedy="Check base_url."))
    raised(stop.Stop("There is no file x.", "Name another."))
    assert capsys.readouterr().err.splitlines() == [
        "There is no job x. Check the id. [job_not_found, request req_1]",
        "It did not answer. Check base_url. [connection_failed]",
        "There is no file x.",
        "Name another.",
    ]
