"""When a request is tried again, and after how long."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.client.flows import Pause, Send
from luthier.client.retrying import LONGEST_PAUSE, Retries, retry_after

REQUEST = Send("POST", "http://h/", {}, {}, {}, httpx.Timeout(1))


def tried(*outcomes: Any, most: int = 2, chance: float = 0.0) -> tuple[Any, list[float]]:
    """What a flow returns that meets these outcomes, and the pauses between its tries."""
    flow = Retries(most, lambda: chance).send(REQUEST)
    came, pauses, left = None, [], list(outcomes)
    while True:
        try:
            wanted = flow.send(came)
        except StopIteration as done:
            assert left == []
            return done.value, pauses
        if isinstance(wanted, Pause):
            pauses.append(wanted.seconds)
            came = None
        else:
            assert wanted is REQUEST
            came = left.pop(0)


def answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


GOOD = answer(200)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_by_itself_is_tried_again_at_growing_intervals(status: int) -> None:
    assert tried(answer(status), answer(status), GOOD) == (GOOD, [0.5, 1.0])
    last = answer(status)
    assert tried(answer(status), answer(status), last) == (last, [0.5, 1.0])


@pytest.mark.parametrize("status", [200, 302, 400, 401, 402, 403, 404, 409, 413, 422, 501])
def test_what_stays_as_it_is_is_not(status: int) -> None:
    only = answer(status)
    assert tried(only) == (only, [])


def test_a_conflict_that_says_when_is_tried_then() -> None:
    assert tried(answer(409, Retry_After="2"), GOOD) == (GOOD, [2.0])


def test_a_connection_that_fails_is_tried_again_unless_nobody_speaks_its_protocol() -> None:
    assert tried(httpx.ConnectError("no"), httpx.ReadTimeout("no"), GOOD) == (GOOD, [0.5, 1.0])
    for wrong in (httpx.UnsupportedProtocol("no"), httpx.TooManyRedirects("no")):
        assert tried(wrong) == (wrong, [])


def test_the_server_is_waited_for_as_long_as_it_says_and_no_longer_than_a_minute() -> None:
    assert tried(answer(503, Retry_After="7"), GOOD) == (GOOD, [7.0])
    assert tried(answer(503, Retry_After=str(LONGEST_PAUSE + 1)))[1] == []
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < tried(answer(429, Retry_After=moment), GOOD)[1][0] <= 30


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_no_header_breaks_it(text: str) -> None:
    told = retry_after(httpx.Response(503, headers={"Retry-After": text}))
    assert told is None or told >= 0


@given(st.integers(0, 20), st.floats(0, 1))
def test_pauses_are_spread_and_bounded(most: int, chance: float) -> None:
    _, pauses = tried(*[answer(503)] * most, GOOD, most=most, chance=chance)
    assert all(0.375 <= pause <= 8 for pause in pauses)
