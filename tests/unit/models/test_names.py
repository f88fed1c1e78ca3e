"""What a model may be called."""

import pytest

from luthier.errors import Conflict, InvalidRequest
from luthier.models import names


@pytest.mark.parametrize("name", ["a", "llama-7b-support-v2", "team/llama_7b:2.1", "Nine9", "x" * 200])
def test_letters_digits_and_some_signs_make_a_name(name: str) -> None:
    names.check(name)


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a b", "a/", "/a", "a//b", "ä", "a?", "a#b", "a%2Fb", "x" * 201, "model_1", "ep_1", "ftjob_1", "compare",
     "import", "a/deploy", "versions/a", "a\n", "a\x00"],
)  # fmt: skip
def test_what_would_be_taken_for_something_else_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be called") as refused:
        names.check(name)
    assert refused.value.param == "name"


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "LLAMA-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct"])
def test_the_name_of_a_base_model_is_taken(name: str) -> None:
    with pytest.raises(Conflict, match="base model") as refused:
        names.check(name)
    assert refused.value.code == "name_taken"
