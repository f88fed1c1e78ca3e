import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from luthier.accounts.service import TRUST_SECONDS, AccountService, digest
from luthier.accounts.store import KeyStore
from luthier.errors import Conflict, Forbidden, InvalidRequest, Unauthenticated
from tests.factories import Platform, principal


@pytest.fixture
def accounts(platform: Platform) -> AccountService:
    return AccountService(KeyStore(platform.dynamodb, "luthier"), platform.clock)


def issue(accounts: AccountService, **changes: object) -> str:
    asked: dict = {"organization_id": "org_a", "user_id": "u", "name": "n", "scopes": ("fine-tuning:read",)}
    return accounts.issue_key(**asked | changes)[1]


def test_a_key_opens_its_organization(accounts: AccountService) -> None:
    principal = accounts.authenticate(issue(accounts))
    assert (principal.organization_id, principal.scopes) == ("org_a", ("fine-tuning:read",))


def test_the_key_itself_is_nowhere_in_the_table(accounts: AccountService, platform: Platform) -> None:
    secret = issue(accounts)
    stored = str(platform.dynamodb.scan(TableName="luthier")["Items"])
    assert secret not in stored
    assert digest(secret) in stored


@pytest.mark.parametrize("wrong", ["", "lt_wrong", "Bearer x"])
def test_an_unknown_key_is_refused(accounts: AccountService, wrong: str) -> None:
    with pytest.raises(Unauthenticated):
        accounts.authenticate(wrong)


def test_an_expired_key_is_refused(accounts: AccountService, platform: Platform) -> None:
    secret = issue(accounts, expires_at="2026-01-01T00:00:10Z")
    accounts.authenticate(secret)
    platform.clock.advance(seconds=10)
    with pytest.raises(Unauthenticated):
        accounts.authenticate(secret)


def test_a_key_is_read_once_while_it_is_trusted(
    accounts: AccountService, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = issue(accounts)
    accounts.authenticate(secret)
    platform.dynamodb.delete_table(TableName="luthier")
    accounts.authenticate(secret)
    monkeypatch.setattr("time.monotonic", lambda: 1e9 + TRUST_SECONDS)
    with pytest.raises(Exception, match="not found"):
        accounts.authenticate(secret)


def test_a_key_revoked_elsewhere_is_refused_here_once_trust_has_run_out(
    accounts: AccountService, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, secret = AccountService(KeyStore(platform.dynamodb, "luthier"), platform.clock), issue(accounts)
    accounts.authenticate(secret)
    [key], _ = elsewhere.list_keys("org_a")
    elsewhere.revoke_key("org_a", key.id)
    with pytest.raises(Unauthenticated):
        elsewhere.authenticate(secret)
    started = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: started + TRUST_SECONDS)
    with pytest.raises(Unauthenticated):
        accounts.authenticate(secret)
    assert TRUST_SECONDS <= 30


def test_a_rotated_key_lives_as_long_as_the_one_before_was_meant_to(
    accounts: AccountService, platform: Platform
) -> None:
    issue(accounts, expires_at="2026-01-11T00:00:00Z")
    [old], _ = accounts.list_keys("org_a")
    platform.clock.advance(days=9)
    new, _ = accounts.rotate_key("org_a", old.id, overlap_seconds=7 * 86_400)
    assert new.expires_at == "2026-01-20T00:00:00Z"
    assert accounts.get_key("org_a", old.id).expires_at == "2026-01-11T00:00:00Z"


@pytest.mark.parametrize("overlap_seconds", [0, 2])
def test_a_rotated_key_is_refused_once_its_overlap_has_passed_although_it_was_trusted(
    accounts: AccountService, platform: Platform, overlap_seconds: int
) -> None:
    secret = issue(accounts)
    accounts.authenticate(secret)
    [old], _ = accounts.list_keys("org_a")
    accounts.rotate_key("org_a", old.id, overlap_seconds=overlap_seconds)
    if overlap_seconds:
        accounts.authenticate(secret)
    platform.clock.advance(seconds=overlap_seconds)
    with pytest.raises(Unauthenticated):
        accounts.authenticate(secret)


def test_a_use_that_cannot_be_noted_does_not_fail_the_request(
    accounts: AccountService, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = issue(accounts)
    monkeypatch.setattr(KeyStore, "note_use", None)
    assert accounts.authenticate(secret).organization_id == "org_a"


def test_a_missing_scope_is_named(accounts: AccountService) -> None:
    principal = accounts.authenticate(issue(accounts))
    principal.require("fine-tuning:read")
    with pytest.raises(Forbidden, match="fine-tuning:write"):
        principal.require("fine-tuning:write")


def test_admin_covers_every_scope(accounts: AccountService) -> None:
    accounts.authenticate(issue(accounts, scopes=("admin",))).require("inference:write")


@pytest.mark.parametrize("scopes", [(), ("fine-tuning:everything",)])
def test_a_key_without_known_scopes_is_not_issued(accounts: AccountService, scopes: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        issue(accounts, scopes=scopes)
    assert refused.value.param == "scopes"


def test_an_expiry_beyond_the_calendar_is_refused(accounts: AccountService) -> None:
    with pytest.raises(InvalidRequest) as refused:
        issue(accounts, expires_at="9999-12-31T23:59:59-14:00")
    assert refused.value.param == "expires_at"


def test_a_key_that_was_meant_for_ever_can_be_rotated(accounts: AccountService, platform: Platform) -> None:
    wanted: dict = {"organization_id": "org_a", "user_id": "u", "name": "n", "scopes": ("admin",)}
    key, _ = accounts.issue_key(**wanted, expires_at="9999-12-31T23:59:59Z")
    platform.clock.advance(days=1)
    renewed, _ = accounts.rotate_key("org_a", key.id, overlap_seconds=0)
    assert renewed.expires_at == "9999-12-31T23:59:59Z"


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a" * 65])
def test_an_organization_whose_name_could_break_a_path_gets_no_key(accounts: AccountService, name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        issue(accounts, organization_id=name)
    assert refused.value.param == "organization_id"


def test_creates_at_once_with_one_idempotency_key_make_one_key(accounts: AccountService) -> None:
    fields: dict = {"name": "n", "scopes": ["admin"], "user_id": None}

    def create(_: int) -> str:
        try:
            return accounts.create_key(principal(), fields, idempotency_key="k")[0].id
        except Conflict as refused:
            return refused.details["id"]

    with ThreadPoolExecutor(4) as clients:
        ids = set(clients.map(create, range(4)))
    assert ids == {key.id for key in accounts.list_keys("org_a")[0]}
