"""Wire shapes of credits on the account surface. Amounts are whole cents."""

from typing import Literal, Self

from luthier.credits.entity import Credits, Entry
from luthier.wire import Answer


class CreditBalance(Answer):
    """`available_cents` is the balance minus what is held for live jobs. `billing`: whether a job must fit into it."""

    balance_cents: int
    held_cents: int
    available_cents: int
    billing: bool

    @classmethod
    def of(cls, credits: Credits, billing: bool) -> Self:
        return cls(
            balance_cents=credits.balance_cents,
            held_cents=credits.held_cents,
            available_cents=credits.available_cents,
            billing=billing,
        )


class LedgerEntry(Answer):
    """All `amount_cents` sum to the balance, all `held_cents` to what is held.

    Each attempt of a job is rounded up to a whole cent; `usage` shows the fractions.
    """

    id: str
    kind: Literal["grant", "adjustment", "hold", "release", "settle", "usage"]
    amount_cents: int
    held_cents: int
    balance_after_cents: int
    reference: str
    created_at: str


class LedgerPage(Answer):
    object: Literal["list"] = "list"
    data: list[LedgerEntry]
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, entries: list[Entry], more: bool) -> Self:
        shown = [LedgerEntry.model_validate(entry) for entry in entries]
        return cls(data=shown, last_id=shown[-1].id if shown else None, has_more=more)
