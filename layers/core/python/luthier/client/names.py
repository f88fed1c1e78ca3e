"""Two spellings of a name: `learning_rate`, as Python writes it, and `learningRate`, as some routes do."""

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f"_{found[1].lower()}", name)


@lru_cache(maxsize=4096)
def camel(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])_([a-z])", lambda found: found[1].upper(), name)
