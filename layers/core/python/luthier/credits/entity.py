"""Credits of an organization, in whole cents, and the ledger of their changes. Pure: standard library only.

balance   what was granted minus what was spent; the ledger's `amount_cents` always sum to it
held      what live jobs may still spend; the ledger's `held_cents` always sum to it
available balance minus held; a new hold must fit into it
"""

import math
from dataclasses import dataclass, replace

GRANT, ADJUSTMENT, HOLD, RELEASE, SETTLE, USAGE = "grant", "adjustment", "hold", "release", "settle", "usage"

# Parts of what was available after the last grant; reaching one is an event.
_THRESHOLDS = (0.5, 0.2, 0.05, 0.0)


@dataclass(frozen=True)
class Change:
    """One change of the credits. `reference`: the job, the model or the reason."""

    kind: str
    amount_cents: int
    held_cents: int
    reference: str


@dataclass(frozen=True)
class Entry:
    """One row of the ledger: a change, and the balance that it left."""

    id: str
    organization_id: str
    kind: str
    amount_cents: int
    held_cents: int
    balance_after_cents: int
    reference: str
    created_at: str


@dataclass(frozen=True)
class Credits:
    """What an organization has.

    granted_cents: what was available after the last grant; warnings: how many thresholds were reached since then.
    """

    balance_cents: int = 0
    held_cents: int = 0
    granted_cents: int = 0
    warnings: int = 0

    @property
    def available_cents(self) -> int:
        return self.balance_cents - self.held_cents

    @property
    def threshold_cents(self) -> int:
        """The lowest threshold reached since the last grant; only after a warning."""
        return int(self.granted_cents * _THRESHOLDS[self.warnings - 1])

    @property
    def next_threshold_cents(self) -> int | None:
        """The highest threshold that is not reached; None where there is none left to reach."""
        if self.granted_cents <= 0 or self.warnings == len(_THRESHOLDS):
            return None
        return int(self.granted_cents * _THRESHOLDS[self.warnings])

    def after(self, changes: tuple[Change, ...]) -> "Credits":
        """These credits once the changes are made."""
        new = replace(
            self,
            balance_cents=self.balance_cents + sum(change.amount_cents for change in changes),
            held_cents=self.held_cents + sum(change.held_cents for change in changes),
        )
        if any(change.kind == GRANT for change in changes):
            return replace(new, granted_cents=new.available_cents, warnings=0)
        reached = sum(new.available_cents <= int(self.granted_cents * part) for part in _THRESHOLDS)
        return replace(new, warnings=max(self.warnings, reached) if self.granted_cents > 0 else 0)


def cents(amount: float) -> int:
    """An amount of money in whole cents, rounded up; what is below a millionth of a cent is the computer's."""
    return math.ceil(round(amount * 100, 6))


def settling(held: int, actual: int, reference: str) -> tuple[Change, ...]:
    """What ends a hold: nothing spent releases it, the rest settles it; what exceeds it is an adjustment."""
    if not actual:
        return (Change(RELEASE, 0, -held, reference),)
    settled = Change(SETTLE, -min(actual, held), -held, reference)
    return (settled, Change(ADJUSTMENT, held - actual, 0, reference)) if actual > held else (settled,)
