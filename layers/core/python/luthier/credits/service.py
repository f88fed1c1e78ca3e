"""What an organization may spend: granted by an operator, held for live jobs, settled at what they cost."""

from collections.abc import Sequence

from luthier import clock, table
from luthier.accounts.entity import Principal
from luthier.credits.entity import ADJUSTMENT, GRANT, HOLD, USAGE, Change, Credits, Entry, cents, settling
from luthier.credits.store import CreditStore
from luthier.errors import InsufficientCredits, InvalidRequest


class CreditsMoved(table.ConditionFailed):
    """The credits changed between looking and writing; look again."""

    def __init__(self) -> None:
        super().__init__(-1)


class CreditService:
    """billing: whether work is paid from credits; without it nothing is held and nothing is charged."""

    def __init__(self, store: CreditStore, *, billing: bool = False, now: clock.Clock = clock.now) -> None:
        self._store = store
        self.billing = billing
        self._now = now

    def get(self, principal: Principal) -> Credits:
        return self.of(principal.organization_id)

    def of(self, organization_id: str) -> Credits:
        return self._store.get(organization_id)

    def ledger(self, principal: Principal, *, limit: int = 20, after: str | None = None) -> tuple[list[Entry], bool]:
        """A page of the ledger, newest first, and whether older rows follow."""
        return self._store.ledger(principal.organization_id, limit=limit, after=after)

    def grant(self, organization_id: str, amount_cents: int, reference: str) -> Credits:
        """Add credits, or take some back with a negative amount. The credits afterwards.

        Raises InvalidRequest where more is taken back than is available.
        """
        kind = GRANT if amount_cents > 0 else ADJUSTMENT
        change = Change(kind, amount_cents, 0, reference)
        return self._change(organization_id, change, require_cover=amount_cents < 0)

    def spend(
        self, organization_id: str, amount_cents: int, reference: str, joined: Sequence[table.Write] = ()
    ) -> None:
        """Charge for what was used, in one transaction with other writes. It may take the balance below zero."""
        self._change(organization_id, Change(USAGE, -amount_cents, 0, reference), joined)

    def needed(self, cost: float) -> int:
        """The hold for a run that is expected to cost so much, in cents; 0 where nothing is billed."""
        return cents(cost) if self.billing else 0

    def hold(self, organization_id: str, held: int, reference: str) -> list[table.Write]:
        """The writes that hold so many cents, to be part of the job's transaction.

        There they raise InsufficientCredits, or CreditsMoved when somebody else was faster.
        """
        if not held:
            return []
        credits = self._store.get(organization_id)
        refusal = CreditsMoved() if credits.available_cents >= held else _insufficient(credits, held)
        change = Change(HOLD, 0, held, reference)
        return self._store.writes(organization_id, credits, (change,), self._moment(), refusal)

    def settle(self, organization_id: str, held: int, cost: float, reference: str) -> list[table.Write]:
        """The writes that end a hold at what the work cost. They raise CreditsMoved when somebody else was faster.

        Without a hold nothing is charged: the work began while nothing was billed.
        """
        if not held:
            return []
        changes = settling(held, cents(cost), reference)
        return self._store.writes(
            organization_id, self._store.get(organization_id), changes, self._moment(), CreditsMoved()
        )

    def charge(self, organization_id: str, cost: float, reference: str) -> list[table.Write]:
        """The writes that charge work for which nothing was held, to be part of its transaction; the balance may go
        below zero. They raise CreditsMoved when somebody else was faster.
        """
        change = Change(USAGE, -cents(cost), 0, reference)
        credits = self._store.get(organization_id)
        return self._store.writes(organization_id, credits, (change,), self._moment(), CreditsMoved())

    def require(self, organization_id: str) -> None:
        """Raise InsufficientCredits when work is billed and nothing is left to pay it with."""
        if self.billing and (credits := self._store.get(organization_id)).available_cents <= 0:
            raise _insufficient(credits, 1)

    def _change(
        self,
        organization_id: str,
        change: Change,
        joined: Sequence[table.Write] = (),
        *,
        require_cover: bool = False,
    ) -> Credits:
        def changed() -> Credits:
            old = self._store.get(organization_id)
            if require_cover and old.available_cents + change.amount_cents < 0:
                raise _too_much(old)
            writes = self._store.writes(organization_id, old, (change,), self._moment(), CreditsMoved())
            self._store.save([*joined, *writes])
            return old.after((change,))

        return table.until_unchanged("the credits", changed, CreditsMoved)

    def _moment(self) -> str:
        return clock.iso(self._now())


def _too_much(credits: Credits) -> InvalidRequest:
    most = max(0, credits.available_cents)
    return InvalidRequest(
        f"Only {most} cents can be taken back: the balance is {credits.balance_cents}, "
        f"and {credits.held_cents} are held for jobs.",
        param="cents",
        remedy="Take back less, or wait until the jobs have ended.",
    )


def _insufficient(credits: Credits, needed: int) -> InsufficientCredits:
    return InsufficientCredits(
        f"This needs {needed} cents of credits; {credits.available_cents} are available.",
        details={
            "required_cents": needed,
            "available_cents": credits.available_cents,
            "balance_cents": credits.balance_cents,
            "held_cents": credits.held_cents,
        },
        remedy="Ask the operator for credits, or choose a smaller dataset, fewer epochs or cheaper hardware.",
    )
