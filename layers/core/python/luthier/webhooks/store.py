"""Webhook endpoints and their deliveries in DynamoDB.

Every pending delivery stands in the index of live work under the moment from which the sweeper looks after it: the
moment it is due where no queue message is on its way, and some minutes later where one should be.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from luthier import clock, items, table
from luthier.events import outbox
from luthier.events.entity import Event
from luthier.idempotency import Claim, Claims
from luthier.webhooks.entity import PENDING, Delivery, Endpoint, Page

NOUN = "DELIVERY"
KEPT_SECONDS = 30 * 24 * 3600
# SQS delays a message this long at most; what is due later waits in the table alone.
LONGEST_DELAY = 900
# How late a message may come before the sweeper sends another.
_GRACE = timedelta(minutes=10)
_PAGE = 100
# What one page of the log looks at, at most, whatever it is narrowed to.
MOST_LOOKED_AT = 500

# (organization, endpoint, event)
Address = tuple[str, str, str]
# What the sweeper must look after, and the moment that it stands under.
Overdue = tuple[Address, str]


class WebhookStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, organization_id: str, endpoint_id: str) -> Endpoint | None:
        """The endpoint: one strongly consistent read."""
        item = self._read(organization_id, table.webhook(endpoint_id))
        return _endpoint(item) if item else None

    def endpoints(self, organization_id: str) -> list[Endpoint]:
        """All endpoints of an organization, oldest first: one query."""
        return [_endpoint(item) for item in self._query(organization_id, table.webhook(""))]

    def put(self, old: Endpoint | None, new: Endpoint, fact: Event | None = None, claim: Claim | None = None) -> None:
        """Write an endpoint in place of `old`. Raises table.ConditionFailed when somebody else was faster.

        The condition of a claim that is taken is the one at position 1.
        """
        item = table.key(new.organization_id, table.webhook(new.id)) | asdict(new)
        taken = [claim.write(self._table, new.id, clock.parse(new.updated_at))] if claim else []
        self._write(self._replacing(item, old), fact, taken)

    def claims(self, now: clock.Clock) -> Claims:
        """The idempotency claims that creates of endpoints join."""
        return Claims(self._client, self._table, now)

    def create(self, endpoint: Endpoint, claim: Claim, *, most: int, too_many: Exception) -> None:
        """Write a new endpoint. Raises table.ConditionFailed when the claim is taken, `too_many` above `most`."""
        item = table.key(endpoint.organization_id, table.webhook(endpoint.id)) | asdict(endpoint)
        taken = claim.write(self._table, endpoint.id, clock.parse(endpoint.created_at))
        counted = self._count(endpoint.organization_id, 1)
        counted["ConditionExpression"] = "attribute_not_exists(#total) OR #total < :most"
        counted["ExpressionAttributeValues"][":most"] = {"N": str(most)}
        put = {"Put": self._replacing(item, None)}
        table.transact(self._client, [taken, put, table.Guarded({"Update": counted}, too_many)])

    def remove(self, endpoint: Endpoint) -> None:
        """Remove an endpoint and count it out, once however often it is asked."""
        key = table.encode(table.key(endpoint.organization_id, table.webhook(endpoint.id)))
        there = {"TableName": self._table, "Key": key, "ConditionExpression": "attribute_exists(pk)"}
        with suppress(table.ConditionFailed):
            table.transact(self._client, [{"Delete": there}, {"Update": self._count(endpoint.organization_id, -1)}])

    def _count(self, organization_id: str, change: int) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": table.encode(table.key(organization_id, table.counters("WEBHOOK"))),
            "UpdateExpression": "ADD #total :change",
            "ExpressionAttributeNames": {"#total": "total"},
            "ExpressionAttributeValues": {":change": {"N": str(change)}},
        }

    def note(self, endpoint: Endpoint, **health: Any) -> None:
        """Write facts about an endpoint's health, which people's changes neither see nor wait for."""
        sets = ", ".join(f"{name} = :{name}" for name in health)
        try:
            self._client.update_item(
                TableName=self._table,
                Key=table.encode(table.key(endpoint.organization_id, table.webhook(endpoint.id))),
                UpdateExpression=f"SET {sets}",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues=table.encode({f":{name}": value for name, value in health.items()}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return  # deleted meanwhile

    def callback_url(self, event: Event) -> str | None:
        """The `webhookUrl` of the job that an event is about, as the outbox has kept it."""
        item = self._read(event.organization_id, table.event(event.id))
        return item.get("callback_url") if item else None

    def announce(self, delivery: Delivery) -> bool:
        """Write a new delivery; False when it is there already."""
        try:
            self._write(self._replacing(_item(delivery, travelling=True), None))
        except table.ConditionFailed:
            return False
        return True

    def save(self, old: Delivery, new: Delivery, *, travelling: bool, fact: Event | None = None) -> None:
        """Replace `old` by `new`. Raises table.ConditionFailed when somebody else was faster.

        travelling: whether a queue message about it is going to be sent.
        """
        self._write(self._replacing(_item(new, travelling), old), fact)

    def delivery(self, organization_id: str, endpoint_id: str, event_id: str) -> Delivery | None:
        item = self._read(organization_id, table.webhook_delivery(endpoint_id, event_id))
        return _delivery(item) if item else None

    def load(self, addresses: Iterable[Address]) -> tuple[dict[Address, Delivery], dict[tuple[str, str], Endpoint]]:
        """Deliveries and their endpoints, those that are there, in one read of up to 100 items."""
        keys = {address: table.key(address[0], table.webhook_delivery(*address[1:])) for address in addresses}
        wanted = {tuple(key.items()): key for key in keys.values()}
        for organization_id, endpoint_id, _ in keys:
            key = table.key(organization_id, table.webhook(endpoint_id))
            wanted[tuple(key.items())] = key
        deliveries, endpoints = {}, {}
        for item in items.get_many(self._client, self._table, list(wanted.values())):
            if "event_id" in item:
                found = _delivery(item)
                deliveries[(found.organization_id, found.endpoint_id, found.event_id)] = found
            else:
                endpoint = _endpoint(item)
                endpoints[(endpoint.organization_id, endpoint.id)] = endpoint
        return deliveries, endpoints

    def page(
        self, organization_id: str, endpoint_id: str, *, limit: int, after: str | None = None, state: str | None = None
    ) -> Page:
        """Deliveries to an endpoint, newest event first; `after` is the `last_id` of the page before."""
        found: list[Delivery] = []
        last_id = None
        for looked_at, delivery in enumerate(self.newest(organization_id, endpoint_id, after=after)):
            if len(found) == limit or looked_at == MOST_LOOKED_AT:
                return Page(found, last_id)
            last_id = delivery.event_id
            if state in (None, delivery.state):
                found.append(delivery)
        return Page(found, None)

    def newest(self, organization_id: str, endpoint_id: str, *, after: str | None = None) -> Iterator[Delivery]:
        """Every delivery to an endpoint, newest event first, read as far as the caller goes."""
        prefix = table.webhook_delivery(endpoint_id)
        start = table.key(organization_id, table.webhook_delivery(endpoint_id, after)) if after else None
        more = {"ExclusiveStartKey": table.encode(start)} if start else {}
        return map(_delivery, self._query(organization_id, prefix, ScanIndexForward=False, page_size=_PAGE, **more))

    def overdue(self, now: datetime) -> Iterator[Overdue]:
        """What the sweeper must look after, over all organizations, longest overdue first."""
        for item in table.query(
            self._client,
            TableName=self._table,
            IndexName=table.LIVE.name,
            KeyConditionExpression=f"{table.LIVE.partition_key} = :live AND {table.LIVE.sort_key} <= :now",
            ExpressionAttributeValues={":live": {"S": table.live(NOUN)}, ":now": {"S": clock.iso(now)}},
        ):
            _, endpoint_id, event_id = item["sk"].split("#")
            yield (item["pk"].partition("#")[2], endpoint_id, event_id), item[table.LIVE.sort_key]

    def postpone(self, address: Address, seen: str, now: datetime) -> bool:
        """Tell the sweeper to look again some minutes later; False when the delivery has moved on meanwhile."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=table.encode(table.key(address[0], table.webhook_delivery(*address[1:]))),
                UpdateExpression=f"SET {table.LIVE.sort_key} = :later",
                ConditionExpression=f"{table.LIVE.sort_key} = :seen",
                ExpressionAttributeValues=table.encode({":seen": seen, ":later": clock.iso(now + _GRACE)}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _write(self, put: dict[str, Any], fact: Event | None = None, claims: Sequence[table.Write] = ()) -> None:
        """One put, in a transaction only where something joins it: transactions cost twice as much."""
        told = [outbox.write(fact, self._table)] if fact else []
        if claims or told:
            table.transact(self._client, [{"Put": put}, *claims, *told])
            return
        try:
            self._client.put_item(**put)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            raise table.ConditionFailed(0) from error

    def _replacing(self, item: table.Item, old: Endpoint | Delivery | None) -> dict[str, Any]:
        put: dict[str, Any] = {"TableName": self._table, "Item": table.encode(item)}
        if old is None:
            return put | {"ConditionExpression": "attribute_not_exists(pk)"}
        seen = {"ExpressionAttributeValues": {":seen": {"N": str(old.version)}}}
        return put | {"ConditionExpression": "version = :seen"} | seen

    def _read(self, organization_id: str, sort_key: str) -> table.Item | None:
        key = table.encode(table.key(organization_id, sort_key))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return table.decode(answer["Item"]) if "Item" in answer else None

    def _query(
        self, organization_id: str, prefix: str, page_size: int | None = None, **request: Any
    ) -> Iterator[table.Item]:
        values = {":pk": table.organization(organization_id), ":prefix": prefix}
        return table.query(
            self._client,
            page_size=page_size,
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
            ExpressionAttributeValues=table.encode(values),
            **request,
        )


def _item(delivery: Delivery, travelling: bool) -> table.Item:
    item = (
        table.key(delivery.organization_id, table.webhook_delivery(delivery.endpoint_id, delivery.event_id))
        | asdict(delivery)
        | {"ttl": clock.epoch(delivery.created_at) + KEPT_SECONDS}
    )
    if delivery.state == PENDING and delivery.next_attempt_at:
        due = clock.parse(delivery.next_attempt_at)
        watched = clock.iso(due + _GRACE) if travelling else clock.iso(due)
        item |= {table.LIVE.partition_key: table.live(NOUN), table.LIVE.sort_key: watched}
    return item


def _endpoint(item: table.Item) -> Endpoint:
    return Endpoint(**{name: item[name] for name in Endpoint.__dataclass_fields__ if name in item})


def _delivery(item: table.Item) -> Delivery:
    return Delivery(**{name: item[name] for name in Delivery.__dataclass_fields__ if name in item})
