import json

from typer.testing import CliRunner, Result

from luthier.cli import app
from tests.factories import Platform, principal


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["credits", *words, "--org", "acme", "--table", "luthier"])


def test_a_grant_is_in_the_ledger_with_its_reason(platform: Platform) -> None:
    printed = run("grant", "--cents", "50000", "--reason", "March")
    assert printed.stdout.strip() == "acme: balance 500.00, held 0.00, available 500.00"
    (entry,) = platform.credits.ledger(principal("acme"))[0]
    assert (entry.kind, entry.amount_cents, entry.reference) == ("grant", 50_000, "March")


def test_credits_can_be_taken_back(platform: Platform) -> None:
    run("grant", "--cents", "500")
    run("grant", "--cents", "-200")
    assert json.loads(run("show", "--json").stdout)["balance_cents"] == 300


def test_a_grant_of_nothing_is_refused(platform: Platform) -> None:
    assert run("grant", "--cents", "0").exit_code == 2
