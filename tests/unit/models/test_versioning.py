"""Semantic versions: what is one, and which comes first."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import InvalidRequest
from luthier.models import versioning

# https://semver.org/#spec-item-11, with numbers that texts would sort the other way.
IN_ORDER = [
    "v0.9.0", "v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-alpha.beta", "v1.0.0-beta", "v1.0.0-beta.2", "v1.0.0-beta.11",
    "v1.0.0-rc.1", "v1.0.0", "v1.0.2", "v1.0.10", "v1.2.0", "v1.10.0", "v2.0.0-1", "v2.0.0", "v10.0.0",
]  # fmt: skip


def test_versions_have_the_order_of_the_specification() -> None:
    mixed = random.Random(7).sample(IN_ORDER, len(IN_ORDER))
    assert sorted(mixed, key=versioning.order) == IN_ORDER


@pytest.mark.parametrize("spelled", ["1.2.3", "v1.2.3"])
def test_a_version_is_spelled_with_or_without_its_v(spelled: str) -> None:
    assert versioning.label(spelled) == "v1.2.3"


@pytest.mark.parametrize(
    "wrong",
    ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+build", "V1.2.3", "vv1.2.3", "1.2.3 ", "1.2.٣",
     "1.2.3-ä", f"1.2.3-{'x' * 64}", "latest"],
)  # fmt: skip
def test_what_is_no_semantic_version_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidRequest, match="must be a semantic version") as refused:
        versioning.label(wrong)
    assert refused.value.param == "version"


@given(st.text(max_size=70))
def test_any_text_is_a_version_or_refused(text: str) -> None:
    try:
        versioning.order(versioning.label(text))
    except InvalidRequest:
        return
