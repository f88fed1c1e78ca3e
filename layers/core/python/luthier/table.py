"""Every key of the one DynamoDB table, in one place.

| item             | pk               | sk                    | gsi1 (facet)                  | gsi2 (facet)                | gsi3 (slim list) | gsi4 (live work) |
|------------------|------------------|-----------------------|-------------------------------|-----------------------------|------------------|------------------|
| job              | ORG#<org>        | JOB#<job>             | ORG#<org>#JOB#STATUS#<shown>  | ORG#<org>#JOB#BASE#<model>  | ORG#<org>#JOB    | LIVE#JOB         |
| model            | ORG#<org>        | MODEL#<model>         | ORG#<org>#MODEL#TYPE#<type>   | ORG#<org>#MODEL#JOB#<job>   | ORG#<org>#MODEL  |                  |
| model name       | ORG#<org>        | NAME#<public name>    |                               |                             |                  |                  |
| deployment       | ORG#<org>        | DEPLOYMENT#<id>       |                               |                             |                  | LIVE#DEPLOYMENT  |
| file             | ORG#<org>        | FILE#<file>           |                               |                             |                  |                  |
| newest of a name | ORG#<org>        | FILENAME#<filename>   |                               |                             |                  |                  |
| counters         | ORG#<org>        | COUNTERS#<noun>       |                               |                             |                  |                  |
| event (outbox)   | ORG#<org>        | EVENT#<event>         |                               |                             |                  |                  |
| idempotency      | ORG#<org>        | IDEMPOTENCY#<route>#… |                               |                             |                  |                  |
| API key          | KEY#<sha256>     | KEY                   |                               |                             |                  |                  |
| API key listed   | ORG#<org>        | KEY#<key id>          |                               |                             |                  |                  |
| base model stage | BASE#<model>     | STAGING#<revision>    |                               |                             |                  |                  |

Ids sort by time, so newest first is a descending query and no sort key needs a timestamp.
gsi1 to gsi3 project `SLIM`, the attributes of a list row, so that a filtered page costs one query too.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Item = dict[str, Any]

# What a list row shows. Slim on purpose: searches and sorts read it for every item of an organization.
SLIM = (
    "id",
    "name",
    "description",
    "status",
    "base_model",
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


def deployment(deployment_id: str) -> str:
    return f"DEPLOYMENT#{deployment_id}"


def file(file_id: str) -> str:
    return f"FILE#{file_id}"


def filename(name: str) -> str:
    return f"FILENAME#{name}"


def counters(noun: str) -> str:
    return f"COUNTERS#{noun}"


def event(event_id: str) -> str:
    return f"EVENT#{event_id}"


def idempotency(route: str, key: str) -> str:
    return f"IDEMPOTENCY#{route}#{key}"


def api_key(digest: str) -> Item:
    return {"pk": f"KEY#{digest}", "sk": "KEY"}


def listed_api_key(key_id: str) -> str:
    return f"KEY#{key_id}"


def base_model_staging(model_id: str, revision: str) -> Item:
    return {"pk": f"BASE#{model_id}", "sk": f"STAGING#{revision}"}


def key(organization_id: str, sort_key: str) -> Item:
    return {"pk": organization(organization_id), "sk": sort_key}


def facet(organization_id: str, noun: str, name: str, value: str) -> str:
    return f"ORG#{organization_id}#{noun}#{name}#{value}"


def listing(organization_id: str, noun: str) -> str:
    return f"ORG#{organization_id}#{noun}"


def live(noun: str) -> str:
    return f"LIVE#{noun}"


def encode(item: Mapping[str, Any]) -> dict[str, Any]:
    """A plain dict as DynamoDB's typed attributes; keys whose value is None are kept as NULL."""
    from boto3.dynamodb.types import TypeSerializer

    exact = json.loads(json.dumps(item), parse_float=Decimal)
    return TypeSerializer().serialize(exact)["M"]


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


def create(client: Any, name: str) -> None:
    """Make the table as the stack makes it, for tests that run without the stack."""
    keys = ["pk", "sk", *(k for index in INDEXES for k in (index.partition_key, index.sort_key))]
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index.name,
                "KeySchema": [
                    {"AttributeName": index.partition_key, "KeyType": "HASH"},
                    {"AttributeName": index.sort_key, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projected)}
                if index.projected
                else {"ProjectionType": "KEYS_ONLY"},
            }
            for index in INDEXES
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
