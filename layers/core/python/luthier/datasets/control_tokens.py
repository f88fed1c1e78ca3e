"""Texts that hold what a chat template writes around messages: to the model, a message ends or begins there."""

import re
from collections.abc import Iterable, Iterator

from luthier.datasets.findings import Fault

# The shapes of ChatML, Llama 3, Phi and Gemma; only a tokenizer knows all of its own.
COMMON = re.compile(r"<\|[A-Za-z0-9_]{1,40}\|>|<(?:start|end)_of_turn>")


def control_tokens(texts: Iterable[tuple[str, str]], pattern: "re.Pattern[str]" = COMMON) -> Iterator[Fault]:
    """A warning for each of the texts, given as (pointer, text), that has one."""
    for pointer, text in texts:
        if found := pattern.search(text):
            message = f"The text contains {found[0]!r}, which a chat template writes to end or begin a message."
            fix = "Remove it or spell it differently: a model that reads it takes what follows for somebody else's."
            yield Fault("control_token", pointer, message, fix)
