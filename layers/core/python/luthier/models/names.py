"""What a model may be called by its owner. Pure."""

import re
from contextlib import suppress

from luthier.aliases.entity import RESERVED
from luthier.catalog import service as catalog
from luthier.errors import Conflict, InvalidRequest

LONGEST = 200
# Each of them resolves for as long as the model is there.
MOST = 20
_NAME = re.compile(rf"(?=.{{1,{LONGEST}}}$)[A-Za-z0-9][A-Za-z0-9._:-]*(/[A-Za-z0-9._:-]+)*")
# Parts of paths that follow a model's name, or stand in its place.
_VERBS = (
    "archive", "compare", "complete", "deploy", "deployments", "download", "evaluate", "evaluations", "import",
    "restore", "versions",
)  # fmt: skip


def check(name: str) -> None:
    """Raises InvalidRequest for what no model can be called, Conflict for what a base model is called."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"A model cannot be called {name!r}: name has 1 to {LONGEST} letters, digits, dots, hyphens, underscores "
            "and colons, in parts that slashes divide, and begins with a letter or digit.",
            param="name",
            remedy="Choose another name.",
        )
    if name.startswith(RESERVED) or set(name.split("/")) & {*_VERBS}:
        raise InvalidRequest(
            f"A model cannot be called {name!r}: name must not begin with {', '.join(RESERVED)}, nor have a part that "
            f"is one of {', '.join(_VERBS)}.",
            param="name",
            remedy="Choose another name.",
        )
    with suppress(InvalidRequest):
        base = catalog.find_base_model(name)
        raise taken(name, f"{name!r} is a name of the base model {base.id}.")


def taken(name: str, message: str | None = None) -> Conflict:
    return Conflict(
        message or f"A model or an alias of yours is called {name!r}.",
        code="name_taken",
        param="name",
        remedy="Choose another name.",
    )


def too_many(names: list[str]) -> Conflict:
    message = f"A model has {MOST} names at most, and every name that it had leads to it."
    return Conflict(message, code="too_many_names", param="name", details={"names": names}, remedy="Go by one of them.")
