import json
from typing import Any

from typer.testing import CliRunner, Result

from luthier.accounts.service import AccountService
from luthier.accounts.store import KeyStore
from luthier.cli import app
from tests.factories import Platform, principal

ACME = principal("acme")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--org", "acme", "--table", "luthier"])


def issued() -> dict[str, Any]:
    return json.loads(run("keys", "create", "--json").stdout)


def accounts(platform: Platform) -> AccountService:
    return AccountService(KeyStore(platform.dynamodb, "luthier"))


def test_an_issued_key_opens_the_api(platform: Platform) -> None:
    printed = run("keys", "create", "--scopes", "fine-tuning:read")
    assert printed.exit_code == 0
    who = accounts(platform).authenticate(printed.stdout.strip())
    assert (who.organization_id, who.scopes) == ("acme", ("fine-tuning:read",))


def test_an_issued_key_may_have_limits_of_its_own(platform: Platform) -> None:
    printed = run("keys", "create", "--requests-per-minute", "7", "--concurrent-jobs", "0")
    limits = accounts(platform).authenticate(printed.stdout.strip()).limits
    assert (limits.key_requests_per_minute, limits.key_concurrent_jobs) == (7, 0)


def test_a_limit_that_nobody_could_mean_is_refused(platform: Platform) -> None:
    assert run("keys", "create", "--requests-per-minute", "1" * 50).exit_code == 2
    assert run("organizations", "limit", "--concurrent-jobs", "10001").exit_code == 2
    assert run("credits", "grant", "--cents", "1" * 50).exit_code == 2


def test_a_key_without_a_name_or_for_nobody_is_refused(platform: Platform) -> None:
    for words in (("--user", ""), ("--name", ""), ("--user", "u" * 241)):
        printed = run("keys", "create", *words)
        assert (printed.exit_code, words[0][2:] in printed.stderr) == (2, True), printed.output


def test_an_organization_without_keys_is_said_to_be_none(platform: Platform) -> None:
    printed = run("keys", "list")
    assert printed.exit_code == 2
    assert "No organization 'acme'" in printed.stderr


def test_json_output_holds_id_key_and_scopes(platform: Platform) -> None:
    assert set(issued()) == {"id", "key", "scopes"}


def test_an_unknown_scope_is_refused_in_one_line(platform: Platform) -> None:
    printed = run("keys", "create", "--scopes", "everything")
    assert printed.exit_code == 2
    assert "everything" in printed.stderr


def test_a_missing_table_is_named_without_a_traceback(platform: Platform) -> None:
    printed = CliRunner().invoke(app, ["keys", "create", "--org", "acme", "--table", "nowhere"])
    assert printed.exit_code == 1
    assert "'nowhere'" in printed.stderr
    assert printed.exception is None or isinstance(printed.exception, SystemExit)


def test_the_list_shows_keys_without_their_secrets(platform: Platform) -> None:
    key = issued()
    for words in (("keys", "list"), ("keys", "list", "--json")):
        printed = run(*words).stdout
        assert key["id"] in printed
        assert key["key"] not in printed
        assert "digest" not in printed


def test_a_rotated_key_is_replaced_and_a_revoked_one_is_gone(platform: Platform) -> None:
    old = issued()
    new = run("keys", "rotate", old["id"], "--overlap-seconds", "0").stdout.strip()
    assert accounts(platform).authenticate(new).organization_id == "acme"
    assert accounts(platform).get_key("acme", old["id"]).replaced_by
    again = issued()
    assert run("keys", "revoke", again["id"]).exit_code == 0
    assert accounts(platform).get_key("acme", again["id"]).revoked_at
    assert run("keys", "revoke", "key_none").exit_code == 2


def test_an_organization_gets_limits_of_its_own_and_loses_them(platform: Platform) -> None:
    secret = issued()["key"]
    said = run("organizations", "limit", "--requests-per-minute", "9", "--concurrent-jobs", "0").stdout
    assert said.strip() == "acme: requests per minute 9, concurrent jobs 0"
    assert accounts(platform).authenticate(secret).limits.organization_requests_per_minute == 9
    run("organizations", "limit")
    assert accounts(platform).authenticate(secret).limits.organization_requests_per_minute == 1200


def test_what_an_operator_does_is_in_the_audit_log(platform: Platform) -> None:
    key = issued()
    run("credits", "grant", "--cents", "500")
    entries, _ = platform.audit.list(ACME)
    assert [entry.action for entry in entries] == ["luthier credits grant", "luthier keys create"]
    assert entries[1].resource_id == key["id"]
    assert entries[1].user_id.startswith("arn:aws:")
    assert entries[1].key_id is None
