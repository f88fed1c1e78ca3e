"""Whoever guesses keys is refused before each guess costs a read; whoever has a key works on beside it."""

from datetime import timedelta

import pytest

from luthier.accounts.guesses import MOST_GUESSES, Guesses
from luthier.errors import RateLimited
from tests.factories import Platform
from tests.gateway import Gateway

JOBS = "/api/v1/fine-tuning/jobs"
ADDRESS = "203.0.113.7"


def guess(api: Gateway, count: int = 1) -> list[int]:
    return [Gateway(api.platform, f"lt_guess_{number}").get(JOBS).status for number in range(count)]


def test_guesses_of_one_address_are_refused_without_a_read_once_there_are_too_many(
    api: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert guess(api, MOST_GUESSES + 1) == [401] * (MOST_GUESSES + 1)
    monkeypatch.setattr("luthier.accounts.store.KeyStore.find", None)
    refused = Gateway(api.platform, "lt_guess").get(JOBS)
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_a_key_that_is_known_works_on_beside_a_guesser(api: Gateway) -> None:
    assert api.get(JOBS).status == 200
    assert guess(api, MOST_GUESSES + 2)[-1] == 429
    assert api.get(JOBS).status == 200


def test_a_request_without_a_key_is_no_guess(api: Gateway) -> None:
    assert [api.stranger().get(JOBS).status for _ in range(MOST_GUESSES + 2)][-1] == 401
    assert guess(api) == [401]


def test_a_guess_that_cannot_be_counted_is_still_refused(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guesses, "_add", None)
    assert guess(api) == [401]


def spent(platform: Platform, address: str) -> Guesses:
    """What another process knows after its first guess, when this address has used up its minute."""
    elsewhere, here = (Guesses(platform.dynamodb, "luthier", platform.clock) for _ in range(2))
    for _ in range(MOST_GUESSES):
        elsewhere.count(address)
    here.count(address)
    return here


def test_processes_count_together_and_the_next_minute_starts_anew(platform: Platform) -> None:
    guesses = spent(platform, ADDRESS)
    with pytest.raises(RateLimited):
        guesses.admit(ADDRESS)
    guesses.admit("203.0.113.8")
    platform.clock.moment += timedelta(minutes=1)
    guesses.admit(ADDRESS)


def test_an_ipv6_network_of_one_customer_is_one_address(platform: Platform) -> None:
    guesses = spent(platform, "2001:db8::1")
    with pytest.raises(RateLimited):
        guesses.admit("2001:db8::ffff:1")
    guesses.admit("2001:db8:0:1::1")


@pytest.mark.parametrize("address", [None, "", "not an address"])
def test_an_address_that_is_none_counts_for_nobody(platform: Platform, address: str | None) -> None:
    spent(platform, address or "").admit(address)
    assert platform.dynamodb.scan(TableName="luthier")["Items"] == []
