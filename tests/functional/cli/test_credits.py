import json

import pytest
from typer.testing import CliRunner, Result

from luthier.cli import app
from tests.factories import Platform, principal


@pytest.fixture(autouse=True)
def _acme(platform: Platform) -> None:
    CliRunner().invoke(app, ["keys", "create", "--org", "acme", "--table", "luthier"])


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


def test_no_more_credits_can_be_taken_back_than_there_are(platform: Platform) -> None:
    run("grant", "--cents", "500")
    refused = run("grant", "--cents", "-501")
    assert refused.exit_code == 2
    assert "500 cents" in refused.output
    assert json.loads(run("show", "--json").stdout)["balance_cents"] == 500


@pytest.mark.parametrize("words", [["grant", "--cents", "500"], ["show"]])
def test_an_organization_that_nobody_has_a_key_of_does_not_exist(platform: Platform, words: list[str]) -> None:
    for command in (["credits", *words], ["organizations", "limit"]):
        refused = CliRunner().invoke(app, [*command, "--org", "acmee", "--table", "luthier"])
        assert refused.exit_code == 2
        assert "No organization 'acmee'" in refused.output
    rows = platform.dynamodb.scan(TableName="luthier")["Items"]
    assert "acmee" not in str(rows)


def test_a_grant_of_nothing_is_refused(platform: Platform) -> None:
    assert run("grant", "--cents", "0").exit_code == 2
