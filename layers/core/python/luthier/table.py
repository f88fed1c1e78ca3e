"""Every key of the one DynamoDB table, in one place. `<o>` stands for ORG#<organization>.

| item            | pk          | sk                  | gsi1           | gsi2          | gsi3     | gsi4           |
|-----------------|-------------|---------------------|----------------|---------------|----------|----------------|
| job             | <o>         | JOB#<job>           | <o>#JOB#STATUS#| <o>#JOB#BASE# | <o>#JOB  | LIVE#JOB       |
| model           | <o>         | MODEL#<model>       | <o>#MODEL#STATE#|<o>#MODEL#BASE#| <o>#MODEL| LIVE#MODEL    |
| model name      | <o>         | NAME#<public name>  |                |               |          |                |
| version label   | <o>         | VERSION#<family>#<version> |         |               |          |                |
| use of a model  | <o>         | USE#<model>#<user>  |                |               |          |                |
| deleted model   | <o>         | DELETING#<model>    |                |               |          | LIVE#MODEL     |
| deployment      | <o>         | DEPLOYMENT#<deployment> |            | <o>#DEPLOYMENT#TARGET# |  | LIVE#DEPLOYMENT|
| host            | HOST#<base>#<hardware> | HOST     |                |               |          | LIVE#HOST      |
| processing      | <o>         | PROCESSING#<id>     |                |<o>#PROCESSING#|          | LIVE#PROCESSING|
| import          | <o>         | IMPORT#<import>     |                |               |          |                |
| alias           | <o>         | ALIAS#<alias>       |                |               |          |                |
| batch           | <o>         | BATCH#<batch>       |                |               |          | LIVE#BATCH     |
| places for batches | <o>      | PLACES#<deployment> |                |               |          |                |
| file            | <o>         | FILE#<file>         |                |               |          | LIVE#FILE      |
| upload          | <o>         | UPLOAD#<upload>     |                |               |          |                |
| newest of a name| <o>         | FILENAME#<filename> |                |               |          |                |
| counters        | <o>         | COUNTERS#<noun>     |                |               |          |                |
| event (outbox)  | <o>         | EVENT#<event>       |                |               |          | LIVE#EVENT     |
| idempotency     | <o>         | IDEMPOTENCY#<route>#|                |               |          |                |
| API key         | KEY#<sha256>| KEY                 |                |               |          |                |
| API key, listed | <o>         | KEY#<key id>        |                |               |          |                |
| download token  | DOWNLOAD#<sha256> | DOWNLOAD      |                |               |          |                |
| base model copy | BASE#<model>| STAGING#<revision>  |                |               |          |                |
| measured speed  | CALIBRATION#| HARDWARE#<id>       |                |               |          |                |
| time to come up | CALIBRATION#| READY#<hardware>#<kind>#<warmth> |   |               |          |                |
| organization    | <o>         | ORGANIZATION        |                |               |          |                |
| requests counted| <o>         | RATE#<minute>       |                |               |          |                |
| wrong keys      | ADDRESS#<ip>| GUESSES#<minute>    |                |               |          |                |
| credits         | <o>         | CREDITS             |                |               |          |                |
| ledger entry    | <o>         | LEDGER#<entry>      |                |               |          |                |
| usage of a day  | <o>         | USAGE#<day>#<kind>#<model> |         |               |          |                |
| audit entry     | <o>         | AUDIT#<entry>       |                |               |          |                |
| webhook endpoint| <o>         | WEBHOOK#<endpoint>  |                |               |          |                |
| webhook delivery| <o>         | DELIVERY#<endpoint>#<event> |        |               |          | LIVE#DELIVERY  |

gsi1 and gsi2 are facets (status, or status with type; base model), gsi3 is the list of a noun, gsi4 the live work of
all organizations, or what is due at a time. Ids sort by time, so newest first is a descending query and no sort key
needs a timestamp; but a model has the id of its job, which was made long before it, and sorts by both.
gsi1 to gsi3 project `SLIM`, the attributes of a list row, so that a filtered page costs one query too.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from luthier.errors import Conflict

Item = dict[str, Any]
Done = TypeVar("Done")

# What a list row shows. Slim on purpose: searches and sorts read it for every item of an organization.
SLIM = (
    "id",
    "name",
    "description",
    "status",
    "base_model",
    "type",
    "bytes",
    "owner",
    "organization_id",
    "trained_tokens",
    "started_at",
    "finished_at",
    "created_at",
    "updated_at",
)


@dataclass(frozen=True)
class Index:
    """A global secondary index; `projected` empty means keys only."""

    name: str
    projected: tuple[str, ...]

    @property
    def partition_key(self) -> str:
        return f"{self.name}pk"

    @property
    def sort_key(self) -> str:
        return f"{self.name}sk"


FACET, SECOND_FACET, LIST, LIVE = (
    Index("gsi1", SLIM),
    Index("gsi2", SLIM),
    Index("gsi3", SLIM),
    Index("gsi4", ()),
)
INDEXES = (FACET, SECOND_FACET, LIST, LIVE)


def organization(organization_id: str) -> str:
    return f"ORG#{organization_id}"


def job(job_id: str) -> str:
    return f"JOB#{job_id}"


def model(model_id: str) -> str:
    return f"MODEL#{model_id}"


def model_name(name: str) -> str:
    return f"NAME#{name}"


def model_version(family: str, version: str = "") -> str:
    """Without a version: what the sort keys of all versions of that family begin with."""
    return f"VERSION#{family}#{version}"


def model_use(model_id: str, user_id: str = "") -> str:
    """Without a user: what the sort keys of all uses of that model begin with."""
    return f"USE#{model_id}#{user_id}"


def deleted_model(model_id: str) -> str:
    return f"DELETING#{model_id}"


def deployment(deployment_id: str) -> str:
    return f"DEPLOYMENT#{deployment_id}"


def processing(processing_id: str) -> str:
    return f"PROCESSING#{processing_id}"


def model_import(import_id: str) -> str:
    return f"IMPORT#{import_id}"


def alias(name: str = "") -> str:
    """Without a name: what the sort keys of all aliases begin with."""
    return f"ALIAS#{name}"


def host(base_model: str, hardware: str) -> Item:
    """What the key of live work then begins with is `<base>#<hardware>`."""
    return {"pk": f"HOST#{base_model}#{hardware}", "sk": "HOST"}


def readiness(base_model: str, hardware: str, kind: str, *, warm: bool) -> Item:
    sort_key = f"READY#{hardware}#{kind}#{'warm' if warm else 'cold'}"
    return {"pk": f"CALIBRATION#{base_model}", "sk": sort_key}


def batch(batch_id: str) -> str:
    return f"BATCH#{batch_id}"


def places(target: str) -> str:
    """What batches share of a deployment, or of an alias."""
    return f"PLACES#{target}"


def checkpoint_permission(checkpoint_id: str, project_id: str = "") -> str:
    """Without a project: what the keys of all of a checkpoint begin with."""
    return f"CHECKPOINT_PERMISSION#{checkpoint_id}#{project_id}"


def file(file_id: str) -> str:
    return f"FILE#{file_id}"


def upload(upload_id: str) -> str:
    return f"UPLOAD#{upload_id}"


def file_of_name(name: str, file_id: str = "") -> str:
    """Without an id: what the sort keys of all files of that name begin with; the greatest is the newest file."""
    return f"FILENAME#{name}#{file_id}"


def counters(noun: str) -> str:
    return f"COUNTERS#{noun}"


def event(event_id: str) -> str:
    return f"EVENT#{event_id}"


def idempotency(route: str, key: str) -> str:
    return f"IDEMPOTENCY#{route}#{key}"


def api_key(digest: str) -> Item:
    return {"pk": f"KEY#{digest}", "sk": "KEY"}


def download(digest: str) -> Item:
    return {"pk": f"DOWNLOAD#{digest}", "sk": "DOWNLOAD"}


def listed_api_key(key_id: str) -> str:
    return f"KEY#{key_id}"


def base_model_staging(model_id: str, revision: str) -> Item:
    return {"pk": f"BASE#{model_id}", "sk": f"STAGING#{revision}"}


def calibration(base_model: str, hardware: str, workload: str) -> Item:
    return {"pk": f"CALIBRATION#{base_model}", "sk": f"HARDWARE#{hardware}#{workload}"}


ORGANIZATION, CREDITS = "ORGANIZATION", "CREDITS"


def rate(minute: int) -> str:
    """`minute`: minutes since 1970."""
    return f"RATE#{minute}"


def guesses(address: str, minute: int) -> Item:
    """`minute`: minutes since 1970."""
    return {"pk": f"ADDRESS#{address}", "sk": f"GUESSES#{minute}"}


def ledger(entry_id: str) -> str:
    return f"LEDGER#{entry_id}"


def usage(day: str, kind: str = "", model: str = "") -> str:
    """`day` as 2025-02-01. Sort keys of a day lie between `usage(day)` and `usage(next day)`."""
    return f"USAGE#{day}#{kind}#{model}" if kind else f"USAGE#{day}"


def audit(entry_id: str) -> str:
    return f"AUDIT#{entry_id}"


def webhook(endpoint_id: str) -> str:
    return f"WEBHOOK#{endpoint_id}"


def webhook_delivery(endpoint_id: str, event_id: str = "") -> str:
    """Without an event: what the sort keys of all deliveries to that endpoint begin with."""
    return f"DELIVERY#{endpoint_id}#{event_id}"


def key(organization_id: str, sort_key: str) -> Item:
    return {"pk": organization(organization_id), "sk": sort_key}


def facet(organization_id: str, noun: str, name: str, value: str) -> str:
    return f"ORG#{organization_id}#{noun}#{name}#{value}"


def listing(organization_id: str, noun: str) -> str:
    return f"ORG#{organization_id}#{noun}"


def live(noun: str) -> str:
    return f"LIVE#{noun}"


def encode(item: Mapping[str, Any]) -> dict[str, Any]:
    """A plain dict as DynamoDB's typed attributes; keys whose value is None are kept as NULL.

    DynamoDB holds no number between 0 and 1e-130: such a one becomes 0.
    """
    from boto3.dynamodb.types import TypeSerializer

    exact = json.loads(json.dumps(item), parse_float=_exact)
    return TypeSerializer().serialize(exact)["M"]


def _exact(digits: str) -> Decimal:
    number = Decimal(digits)
    return number if number.adjusted() >= -128 else Decimal(0)


def decode(attributes: Mapping[str, Any]) -> Item:
    """The plain dict behind DynamoDB's typed attributes; numbers come back as int or float."""
    from boto3.dynamodb.types import TypeDeserializer

    return {name: _plain(TypeDeserializer().deserialize(value)) for name, value in attributes.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def query(client: Any, *, page_size: int | None = None, **request: Any) -> Iterator[Item]:
    """Every item that a Query finds, page by page, read only as far as the caller goes."""
    if page_size:
        request["Limit"] = page_size
    while True:
        answer = client.query(**request)
        yield from map(decode, answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def newest(
    client: Any, name: str, organization_id: str, prefix: str, *, limit: int, after: str | None = None
) -> tuple[list[Item], bool]:
    """An organization's items whose sort key is `prefix` and an id, newest first, and whether older ones follow.

    after: the id after which the page starts. One query at any depth.
    """
    request: dict[str, Any] = {
        "KeyConditionExpression": "pk = :p AND begins_with(sk, :prefix)",
        "ExpressionAttributeValues": encode({":p": organization(organization_id), ":prefix": prefix}),
    }
    if after:
        request["ExclusiveStartKey"] = encode(key(organization_id, prefix + after))
    answer = client.query(TableName=name, ScanIndexForward=False, Limit=limit + 1, **request)
    items = [decode(item) for item in answer["Items"]]
    return items[:limit], len(items) > limit


def live_items(client: Any, name: str, noun: str) -> Iterator[tuple[str, str]]:
    """(organization, id) of every item of a noun that has not come to rest, over all organizations."""
    for item in query(
        client,
        TableName=name,
        IndexName=LIVE.name,
        KeyConditionExpression=f"{LIVE.partition_key} = :live",
        ExpressionAttributeValues={":live": {"S": live(noun)}},
    ):
        yield item["pk"].partition("#")[2], item["sk"].partition("#")[2]


class ConditionFailed(Exception):
    """A write of a transaction met a state it did not expect; `position` is its place in the transaction."""

    def __init__(self, position: int) -> None:
        super().__init__(f"The condition of write {position} does not hold.")
        self.position = position


@dataclass(frozen=True)
class Guarded:
    """A write whose condition means something: when it does not hold, `transact` raises `refusal`."""

    write: dict[str, Any]
    refusal: Exception


Write = dict[str, Any] | Guarded


def transact(client: Any, writes: Sequence[Write], *, tries: int = 10) -> None:
    """Carry out all writes or none. Raises ConditionFailed, or the refusal of the first write whose condition failed.

    Writes of one organization meet at its counters. DynamoDB refuses the later one with TransactionConflict,
    which says nothing about our conditions, so it is tried again after a random pause.
    """
    plain = [write.write if isinstance(write, Guarded) else write for write in writes]
    for attempt in range(1, tries + 1):
        try:
            client.transact_write_items(TransactItems=plain)
            return
        except client.exceptions.TransactionCanceledException as error:
            codes = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
            if "ConditionalCheckFailed" in codes:
                position = codes.index("ConditionalCheckFailed")
                refused = writes[position]
                raise (refused.refusal if isinstance(refused, Guarded) else ConditionFailed(position)) from error
            if "TransactionConflict" not in codes or attempt == tries:
                raise
        time.sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))


# Whoever loses a race reads again; more rounds than that mean that something changes all the time.
_TRIES = 8


def until_unchanged(what: str, attempt: Callable[[], Done], faster: type[ConditionFailed] = ConditionFailed) -> Done:
    """What `attempt` answers, which reads and then writes what it saw unchanged; where somebody was faster, once more.

    faster: what such a write raises. Raises Conflict, which names `what`, when somebody always is.
    """
    for _ in range(_TRIES):
        with suppress(faster):
            return attempt()
    raise Conflict(f"Several requests changed {what} at once.", remedy="Try again.", retry_after=1)
