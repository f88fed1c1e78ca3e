"""List pages at 100 and at 20,000 models, in DynamoDB's own measure: items and bytes read per page.

Time on an in-process emulator says little about DynamoDB; what a page reads decides its cost there. Flat means that
the larger organization's page reads what the smaller one's does.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

QUERIES: dict[str, dict[str, Any]] = {
    "newest first": {},
    "oldest first": {"ascending": True},
    "status=ready": {"status": "ready"},
    "type=llm": {"type": "llm"},
    "status and type": {"status": "ready", "type": "llm"},
    "baseModel": {"base_model": "smollm2-135m-instruct"},
    "trainingJobId": {"training_job": "job_none"},
    "sort=size": {"sort": "size"},
    "offset=80": {"offset": 80},
}


def main(runs: int) -> None:
    import moto

    with moto.mock_aws():
        small, large = _read(100), _read(20_000)
    print(f"{'page of 50':20s} {'items @ 100':>12s} {'items @ 20,000':>15s} {'ratio':>7s} {'calls @ 20,000':>15s}")
    for name, (items, _) in small.items():
        more, calls = large[name]
        print(f"{name:20s} {items:12d} {more:15d} {more / items:7.1f} {calls:15d}")


def _read(count: int) -> dict[str, tuple[int, int]]:
    """(items, calls) that each query reads in an organization of `count` models."""
    from luthier.models.listing import Wanted
    from tests.factories import Platform, principal

    platform, who = _emptied(Platform), principal()
    _fill(platform, count)
    found = {}
    for name, query in QUERIES.items():
        seen: list[int] = []
        platform.dynamodb.meta.events.register("after-call.dynamodb", _counting(seen), unique_id="n")
        platform.listing.page(who, Wanted(**query))
        platform.dynamodb.meta.events.unregister("after-call.dynamodb", unique_id="n")
        found[name] = (sum(seen), len(seen))
    return found


def _counting(seen: list[int]) -> Callable[..., None]:
    def count(parsed: dict[str, Any], **_: Any) -> None:
        many = sum(len(rows) for rows in parsed.get("Responses", {}).values())
        seen.append(parsed.get("ScannedCount", many or 1))

    return count


def _emptied(platform: Callable[[], Any]) -> Any:
    import boto3

    for name in boto3.client("dynamodb").list_tables()["TableNames"]:
        boto3.client("dynamodb").delete_table(TableName=name)
    return platform()


def _fill(platform: Any, count: int) -> None:
    """One real model, then copies of its item: the pages cannot tell, and moto's transactions are slow."""
    from luthier import ids, table
    from luthier.models.store import NOUN, _counted, _item

    model = platform.models.of_job(platform.completed())
    for start in range(1, count, 25):
        copies = [replace(model, id=ids.new_id("model")) for _ in range(start, min(start + 25, count))]
        requests = [{"PutRequest": {"Item": table.encode(_item(copy))}} for copy in copies]
        platform.dynamodb.batch_write_item(RequestItems={"luthier": requests})
    totals = dict.fromkeys(_counted(model), count)
    item = table.key("org_a", table.counters(NOUN)) | totals
    platform.dynamodb.put_item(TableName="luthier", Item=table.encode(item))
