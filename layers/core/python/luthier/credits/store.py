"""Credits and their ledger in DynamoDB. Every change of the credits is written with its ledger rows, or not at all."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from luthier import ids, table
from luthier.credits.entity import Change, Credits, Entry
from luthier.events import outbox
from luthier.events.entity import event


class CreditStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, organization_id: str) -> Credits:
        """What the organization has: one strongly consistent read."""
        place = table.encode(table.key(organization_id, table.CREDITS))
        answer = self._client.get_item(TableName=self._table, Key=place, ConsistentRead=True)
        item = table.decode(answer.get("Item", {}))
        return Credits(**{name: item[name] for name in Credits.__dataclass_fields__ if name in item})

    def ledger(self, organization_id: str, *, limit: int, after: str | None) -> tuple[list[Entry], bool]:
        """A page of the ledger, newest first, and whether older rows follow: one query."""
        prefix = table.ledger("")
        items, more = table.newest(self._client, self._table, organization_id, prefix, limit=limit, after=after)
        return [Entry(**{name: item[name] for name in Entry.__dataclass_fields__}) for item in items], more

    def save(self, writes: Sequence[table.Write]) -> None:
        table.transact(self._client, writes)

    def writes(
        self, organization_id: str, old: Credits, changes: tuple[Change, ...], now: str, refusal: Exception
    ) -> list[table.Write]:
        """The writes that make the changes; `refusal` is raised when the credits are not what `old` says any more.

        Holds do not touch the balance. Above the next threshold they only ask for enough to be available, so jobs that
        are created at once do not get into each other's way.
        """
        new = old.after(changes)
        update = table.Guarded({"Update": self._update(organization_id, old, new)}, refusal)
        rows = [self._row(organization_id, entry) for entry in _entries(organization_id, old, changes, now)]
        if new.warnings <= old.warnings:
            return [update, *rows]
        data = {"availableCents": new.available_cents, "thresholdCents": new.threshold_cents}
        warning = event("usage.threshold_reached", organization_id, now, data)
        return [update, *rows, outbox.write(warning, self._table)]

    def _update(self, organization_id: str, old: Credits, new: Credits) -> dict[str, Any]:
        held = new.held_cents - old.held_cents
        values = {
            ":balance": new.balance_cents - old.balance_cents,
            ":held": held,
            ":available": new.available_cents - old.available_cents,
            ":granted": new.granted_cents,
            ":warnings": new.warnings,
            ":seen": old.balance_cents,
            ":seen_granted": old.granted_cents,
            ":seen_warnings": old.warnings,
        }
        known = "balance_cents = :seen AND granted_cents = :seen_granted AND warnings = :seen_warnings"
        if (new.granted_cents, new.warnings) != (old.granted_cents, old.warnings):
            # What is written follows from what was available. Holds change that, and nothing else that was seen.
            known += " AND available_cents = :seen_available"
            values[":seen_available"] = old.available_cents
        elif values[":available"] < 0 and (threshold := new.next_threshold_cents) is not None:
            known += " AND available_cents > :least"
            values[":least"] = threshold - values[":available"]
        conditions = [known if old != Credits() else f"(attribute_not_exists(pk) OR ({known}))"]
        if held > 0:
            conditions.append("available_cents >= :held")
        return {
            "TableName": self._table,
            "Key": table.encode(table.key(organization_id, table.CREDITS)),
            "UpdateExpression": "SET granted_cents = :granted, warnings = :warnings "
            "ADD balance_cents :balance, held_cents :held, available_cents :available",
            "ConditionExpression": " AND ".join(conditions),
            "ExpressionAttributeValues": table.encode(values),
        }

    def _row(self, organization_id: str, entry: Entry) -> dict[str, Any]:
        item = table.key(organization_id, table.ledger(entry.id)) | asdict(entry)
        condition = "attribute_not_exists(pk)"
        return {"Put": {"TableName": self._table, "Item": table.encode(item), "ConditionExpression": condition}}


def _entries(organization_id: str, old: Credits, changes: tuple[Change, ...], now: str) -> list[Entry]:
    entries, balance = [], old.balance_cents
    for change in changes:
        balance += change.amount_cents
        entries.append(
            Entry(
                id=ids.new_id("entry"),
                organization_id=organization_id,
                kind=change.kind,
                amount_cents=change.amount_cents,
                held_cents=change.held_cents,
                balance_after_cents=balance,
                reference=change.reference,
                created_at=now,
            )
        )
    return entries
