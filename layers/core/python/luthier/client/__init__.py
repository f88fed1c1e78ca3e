"""The Python client of Luthier, for programs that use the platform; nothing here imports the AWS SDK or the server.

    from luthier.client import Luthier

    client = Luthier(api_key="lk_…", base_url="https://api.example.com")
    file = client.files.upload("train.jsonl")
    job = client.fine_tuning.jobs.create(name="Tickets", base_model="llama-3.1-8b", training_dataset=file.id)
    print(job.wait(on_progress=print).result_model)

`AsyncLuthier` is the same with `await`. Names are loaded when they are first used: a receiver of webhooks needs none.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luthier.client.answers import Answer, Open
    from luthier.client.clients import AsyncLuthier, Luthier
    from luthier.client.errors import (
        AuthenticationError,
        ConfigurationError,
        Conflict,
        ConnectionFailed,
        InvalidRequest,
        LuthierError,
        NotFound,
        PaymentRequired,
        PermissionDenied,
        RateLimited,
        ServiceUnavailable,
        UnexpectedAnswer,
        WaitTimedOut,
        WorkFailed,
    )
    from luthier.client.paging import AsyncPage, Page
    from luthier.client.streaming import AsyncStream, Stream

__all__ = [
    "Answer",
    "AsyncLuthier",
    "AsyncPage",
    "AsyncStream",
    "AuthenticationError",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "InvalidRequest",
    "Luthier",
    "LuthierError",
    "NotFound",
    "Open",
    "Page",
    "PaymentRequired",
    "PermissionDenied",
    "RateLimited",
    "ServiceUnavailable",
    "Stream",
    "UnexpectedAnswer",
    "WaitTimedOut",
    "WorkFailed",
]
_HOMES = {
    "answers": ("Answer", "Open"),
    "clients": ("AsyncLuthier", "Luthier"),
    "paging": ("AsyncPage", "Page"),
    "streaming": ("AsyncStream", "Stream"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "errors")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
