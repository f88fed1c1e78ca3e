"""Batches in DynamoDB, and the places at a deployment that they share.

A batch that has not ended stands in the index of live work under the moment from which the sweeper looks after it: some
time after a message about it should have come, or after the worker that has it must have died.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from luthier import clock, items, table
from luthier.batches.entity import KEPT, PREFIXES, Batch
from luthier.errors import RateLimited
from luthier.events import outbox
from luthier.events.entity import Event
from luthier.idempotency import Claim, Claims

NOUN = "BATCH"
# How late a message may come before the sweeper sends another.
GRACE = timedelta(minutes=2)
# What a worker that finds no place leaves behind holds so long: who has places makes room within it.
_WANTED = timedelta(seconds=30)


class BatchStore:
    """most_live: batches of an organization that may wait or run."""

    def __init__(self, client: Any, table_name: str, *, most_live: int = 1_000) -> None:
        self._client = client
        self._table = table_name
        self._most_live = most_live

    def get(self, organization_id: str, batch_id: str) -> Batch | None:
        """The batch of an id: one read."""
        item = self._read(organization_id, table.batch(batch_id))
        return _batch(item) if item else None

    def page(self, organization_id: str, door: str, *, limit: int, after: str | None) -> tuple[list[Batch], bool]:
        """Batches of a door, newest first, and whether older ones follow: one query at any depth."""
        prefix = f"{PREFIXES[door]}_"
        cursor = after.removeprefix(prefix) if after else None
        found, more = table.newest(
            self._client, self._table, organization_id, table.batch(prefix), limit=limit, after=cursor
        )
        return [_batch(item) for item in found], more

    def claims(self, now: clock.Clock) -> Claims:
        """The idempotency claims that creates of batches join."""
        return Claims(self._client, self._table, now)

    def create(self, batch: Batch, claim: Claim) -> None:
        """Write a new batch. Raises table.ConditionFailed when the claim is taken, RateLimited beyond the limit."""
        created = clock.parse(batch.created_at)
        item = table.key(batch.organization_id, table.batch(batch.id)) | asdict(batch) | _watched(created + GRACE)
        put = {"TableName": self._table, "Item": table.encode(item), "ConditionExpression": "attribute_not_exists(pk)"}
        counted = self._count(batch.organization_id, 1)
        table.transact(self._client, [claim.write(self._table, batch.id, created), {"Put": put}, counted])

    def change(
        self, batch: Batch, *, watch: datetime | None = None, more: Sequence[table.Write] = (), **news: Any
    ) -> Batch:
        """The batch with `news`. Raises table.ConditionFailed when its status or turn is another by now.

        watch: from when on the sweeper looks after it; more: writes of the same transaction.
        """
        update = self._update(batch, news | (_watched(watch) if watch else {}), ("turn", "status"))
        table.transact(self._client, [{"Update": update}, *more])
        return replace(batch, **news)

    def end(self, batch: Batch, fact: Event, more: Sequence[table.Write], **news: Any) -> Batch:
        """The batch at its end, with the event that says so, in one transaction. Raises as `change`."""
        ended = int((clock.parse(fact.created_at) + KEPT).timestamp())
        update = self._update(batch, news | {"ttl": ended}, ("turn", "status"))
        update["UpdateExpression"] += f" REMOVE {table.LIVE.partition_key}, {table.LIVE.sort_key}"
        told = outbox.write(fact, self._table, batch.callback_url)
        counted = self._count(batch.organization_id, -1)
        table.transact(self._client, [{"Update": update}, told, counted, *more])
        return replace(batch, **news)

    def commit(self, batch: Batch, more: Sequence[table.Write], **news: Any) -> Batch:
        """The batch further on, with writes of the same transaction, as it then is: its status may have changed.

        Raises table.ConditionFailed when another worker has taken a turn since.
        """
        table.transact(self._client, [{"Update": self._update(batch, news, ("turn",))}, *more])
        return self.get(batch.organization_id, batch.id) or replace(batch, **news)

    def begin(
        self, batch: Batch, target: str, *, want: int, most: int, until: datetime, now: datetime
    ) -> tuple[Batch, int]:
        """Take the batch's next turn with up to `want` of the `most` places at what it asks: the batch and how many.

        0: there is none, no turn was taken, and those who have the places know that somebody waits. A place whose
        holder has died is free `until` it said. Raises table.ConditionFailed when another has taken the turn.
        """

        def attempt() -> tuple[Batch, int]:
            held: table.Item = {"writes": 0, "holders": {}}
            held |= self._read(batch.organization_id, table.places(target)) or {}
            holders = {name: kept for name, kept in held["holders"].items() if kept["until"] > clock.iso(now)}
            free = most - sum(kept["places"] for kept in holders.values())
            if free <= 0:
                self._want(batch.organization_id, target, now)
                return batch, 0
            taken = min(want, free)
            holders[_holder(batch.id, batch.turn + 1)] = {"places": taken, "until": clock.iso(until)}
            started: dict[str, Any] = {"turn": batch.turn + 1, "held_until": clock.iso(until)}
            turn = {"Update": self._update(batch, started | _watched(until + GRACE), ("turn",))}
            place = self._hold(batch.organization_id, target, held["writes"], holders, until)
            table.transact(self._client, [table.Guarded(place, _Busy()), turn])
            return replace(batch, **started), taken

        return table.until_unchanged(f"the places at {target}", attempt, faster=_Busy)

    def stay(self, batch: Batch, target: str, until: datetime) -> Batch:
        """Say that the worker of a batch lives, which holds it and its places `until` then. Raises as `commit`."""
        held: dict[str, Any] = {"held_until": clock.iso(until)}
        update = self._update(batch, held | _watched(until + GRACE), ("turn",))
        place = {
            "TableName": self._table,
            "Key": table.encode(table.key(batch.organization_id, table.places(target))),
            "UpdateExpression": "SET holders.#holder.#until = :until ADD writes :one",
            "ConditionExpression": "attribute_exists(holders.#holder)",
            "ExpressionAttributeNames": {"#holder": _holder(batch.id, batch.turn), "#until": "until"},
            "ExpressionAttributeValues": table.encode({":until": clock.iso(until), ":one": 1}),
        }
        table.transact(self._client, [{"Update": update}, {"Update": place}])
        return replace(batch, **held)

    def begin_without_places(self, batch: Batch, until: datetime) -> Batch:
        """Take the batch's next turn for work that asks no model. Raises as `begin`."""
        started: dict[str, Any] = {"turn": batch.turn + 1, "held_until": clock.iso(until)}
        update = self._update(batch, started | _watched(until + GRACE), ("turn",))
        table.transact(self._client, [{"Update": update}])
        return replace(batch, **started)

    def is_wanted(self, batch: Batch, target: str, now: datetime) -> bool:
        """Whether somebody waits for a place there."""
        held = self._read(batch.organization_id, table.places(target)) or {}
        return held.get("wanted_at", "") > clock.iso(now - _WANTED)

    def release(self, batch: Batch, target: str) -> None:
        """Give the batch's places back. A worker that dies before that leaves them until their time is over."""
        self._client.update_item(
            TableName=self._table,
            Key=table.encode(table.key(batch.organization_id, table.places(target))),
            UpdateExpression="REMOVE holders.#holder, wanted_at ADD writes :one",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames={"#holder": _holder(batch.id, batch.turn)},
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    def rest(self, batch: Batch, since: datetime) -> Batch:
        """The batch in nobody's hands; the sweeper looks after it from a moment on. Raises as `change`."""
        return self.change(batch, watch=since, held_until=None)

    def overdue(self, now: datetime) -> Iterator[Batch]:
        """What the sweeper must look after, over all organizations, longest overdue first."""
        for image in items.due_items(self._client, self._table, NOUN, clock.iso(now)):
            yield _batch(table.decode(image))

    def _count(self, organization_id: str, change: int) -> table.Write:
        too_many = RateLimited(
            f"{self._most_live} batches wait or run, as many as an organization may have.",
            code="unfinished_batches_exceeded",
            details={"organization_limit": self._most_live},
            remedy="Wait until one ends.",
            retry_after=60,
        )
        return items.count_live(self._table, organization_id, NOUN, change, most=self._most_live, too_many=too_many)

    def _want(self, organization_id: str, target: str, now: datetime) -> None:
        self._client.update_item(
            TableName=self._table,
            Key=table.encode(table.key(organization_id, table.places(target))),
            UpdateExpression="SET wanted_at = :now",
            ExpressionAttributeValues={":now": {"S": clock.iso(now)}},
        )

    def _hold(
        self, organization_id: str, target: str, seen: int, holders: Mapping[str, Any], until: datetime
    ) -> dict[str, Any]:
        values = {":seen": seen, ":next": seen + 1, ":holders": holders, ":ttl": int((until + KEPT).timestamp())}
        return {
            "Update": {
                "TableName": self._table,
                "Key": table.encode(table.key(organization_id, table.places(target))),
                "UpdateExpression": "SET writes = :next, holders = :holders, #ttl = :ttl",
                "ConditionExpression": "attribute_not_exists(writes) OR writes = :seen",
                "ExpressionAttributeNames": {"#ttl": "ttl"},
                "ExpressionAttributeValues": table.encode(values),
            }
        }

    def _update(self, batch: Batch, news: Mapping[str, Any], unchanged: Sequence[str]) -> dict[str, Any]:
        """An update of some fields, on condition that others are as they were."""
        names = {f"#{name}": name for name in (*news, *unchanged)}
        values = {f":{name}": value for name, value in news.items()}
        values |= {f":seen_{name}": getattr(batch, name) for name in unchanged}
        return {
            "TableName": self._table,
            "Key": table.encode(table.key(batch.organization_id, table.batch(batch.id))),
            "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in news),
            "ConditionExpression": " AND ".join(f"#{name} = :seen_{name}" for name in unchanged),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": table.encode(values),
        }

    def _read(self, organization_id: str, sort_key: str) -> table.Item | None:
        key = table.encode(table.key(organization_id, sort_key))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return table.decode(answer["Item"]) if "Item" in answer else None


class _Busy(table.ConditionFailed):
    """Another worker took or gave back places meanwhile."""

    def __init__(self) -> None:
        super().__init__(0)


def _holder(batch_id: str, turn: int) -> str:
    return f"{batch_id}#{turn}"


def _watched(since: datetime) -> dict[str, str]:
    return {table.LIVE.partition_key: table.live(NOUN), table.LIVE.sort_key: clock.iso(since)}


def _batch(item: table.Item) -> Batch:
    return Batch(**{name: item[name] for name in Batch.__dataclass_fields__ if name in item})
