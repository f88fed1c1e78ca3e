import json

from typer.testing import CliRunner

from luthier.accounts.service import AccountService
from luthier.accounts.store import KeyStore
from luthier.cli import app
from tests.factories import Platform

RUN = CliRunner().invoke


def test_an_issued_key_opens_the_api(platform: Platform) -> None:
    printed = RUN(app, ["keys", "create", "--org", "acme", "--scopes", "fine-tuning:read", "--table", "luthier"])
    assert printed.exit_code == 0
    principal = AccountService(KeyStore(platform.dynamodb, "luthier")).authenticate(printed.stdout.strip())
    assert (principal.organization_id, principal.scopes) == ("acme", ("fine-tuning:read",))


def test_json_output_holds_id_key_and_scopes(platform: Platform) -> None:
    printed = RUN(app, ["keys", "create", "--org", "acme", "--table", "luthier", "--json"])
    assert set(json.loads(printed.stdout)) == {"id", "key", "scopes"}


def test_an_unknown_scope_is_refused_in_one_line(platform: Platform) -> None:
    printed = RUN(app, ["keys", "create", "--org", "acme", "--scopes", "everything", "--table", "luthier"])
    assert printed.exit_code == 2
    assert "everything" in printed.stderr


def test_a_missing_table_is_named_without_a_traceback(platform: Platform) -> None:
    printed = RUN(app, ["keys", "create", "--org", "acme", "--table", "nowhere"])
    assert printed.exit_code == 1
    assert "'nowhere'" in printed.stderr
    assert printed.exception is None or isinstance(printed.exception, SystemExit)
