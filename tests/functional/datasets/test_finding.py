"""Files are found: by id, by name, by page; and deleted."""

import pytest

from luthier.errors import InvalidRequest, NotFound
from tests.functional.datasets.world import ACME, GOOD, NOW, OTHER, World


def test_one_ulid_answers_in_both_spellings(world: World) -> None:
    dataset = world.upload()
    assert world.service.resolve(ACME, dataset.id, param="file", imports=[]) == dataset
    assert world.service.resolve(ACME, dataset.id.replace("file-", "ds_"), param="file", imports=[]) == dataset


@pytest.mark.parametrize("reference", ["train.jsonl", "train", "some/where/train.jsonl", "C:\\x\\train.jsonl"])
def test_a_name_or_a_path_means_the_newest_file_of_that_name(world: World, reference: str) -> None:
    world.upload()
    newest = world.upload()
    world.upload("other.jsonl")
    assert world.service.resolve(ACME, reference, param="file", imports=[]) == newest


def test_deleting_the_newest_file_uncovers_the_one_before(world: World) -> None:
    first, second = world.upload(), world.upload()
    world.service.delete(ACME, second.id)
    assert world.service.resolve(ACME, "train.jsonl", param="file", imports=[]) == first


def test_an_upload_that_never_arrives_does_not_hide_an_older_file(world: World) -> None:
    first = world.upload()
    world.service.begin_upload(ACME, filename="train.jsonl", bytes=10, purpose="fine-tune")
    assert world.service.resolve(ACME, "train.jsonl", param="file", imports=[]) == first


def test_a_name_that_begins_like_another_names_key_is_not_taken_for_it(world: World) -> None:
    plain = world.upload("a")
    world.upload("a#b")
    assert world.service.resolve(ACME, "a", param="file", imports=[]) == plain


def test_the_cost_of_resolving_is_bounded(world: World) -> None:
    dataset = world.upload()
    by_id = world.calls.made_by(lambda: world.service.resolve(ACME, dataset.id, param="file", imports=[]))
    by_name = world.calls.made_by(lambda: world.service.resolve(ACME, "train.jsonl", param="file", imports=[]))
    assert (by_id, by_name) == (["GetItem"], ["Query", "GetItem"])


@pytest.mark.parametrize("reference", ["ds_train_001", "nope.jsonl", "", "/", "file-" + "0" * 26, "gs://b/train.jsonl"])
def test_an_unknown_reference_is_refused_by_field(world: World, reference: str) -> None:
    world.upload()
    with pytest.raises(InvalidRequest, match=r"^trainingDataset: ") as caught:
        world.service.resolve(ACME, reference, param="trainingDataset", imports=[])
    assert (caught.value.code, caught.value.param) == ("dataset_not_found", "trainingDataset")


def test_another_organizations_file_cannot_be_resolved(world: World) -> None:
    dataset = world.upload()
    for reference in (dataset.id, "train.jsonl"):
        with pytest.raises(InvalidRequest, match="neither the id nor the name"):
            world.service.resolve(OTHER, reference, param="file", imports=[])


def test_a_bad_file_is_refused_naming_every_bad_line(world: World) -> None:
    dataset = world.upload(content=GOOD + b"{\n\n{}\n")
    with pytest.raises(InvalidRequest) as caught:
        world.service.resolve(ACME, dataset.id, param="validationFile", imports=[])
    error = caught.value
    assert error.message == (
        "validationFile: train.jsonl cannot be trained on. 2 bad lines (invalid_json 1, unknown_format 1). Lines: 3, 5."
    )
    assert (error.code, error.param) == ("invalid_dataset", "validationFile")
    assert [finding["line"] for finding in error.details["findings"]] == [3, 5]
    assert f"GET /v1/files/{dataset.id}/report" in error.sentence()


def test_many_bad_lines_are_named_up_to_fifty(world: World) -> None:
    dataset = world.upload(content=b"{\n" * 80)
    with pytest.raises(InvalidRequest, match=r"80 bad lines \(invalid_json 80\)\. Lines: 1, .*, 10, …\.") as caught:
        world.service.resolve(ACME, dataset.id, param="file", imports=[])
    assert len(caught.value.details["findings"]) == 50
    assert caught.value.details["findingsCount"] == 80


def test_a_complete_upload_that_was_not_reported_is_checked_when_it_is_needed(world: World) -> None:
    begun = world.service.begin_upload(ACME, filename="a.jsonl", bytes=len(GOOD), purpose="fine-tune")
    with pytest.raises(InvalidRequest) as caught:
        world.service.resolve(ACME, begun.dataset.id, param="file", imports=[])
    assert caught.value.code == "dataset_not_ready"
    world.put(begun, GOOD)
    assert world.service.resolve(ACME, begun.dataset.id, param="file", imports=[]).rows == 2


def test_pages_go_through_all_files_in_both_orders(world: World) -> None:
    ids = [world.upload(f"{n}.jsonl").id for n in range(7)]
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        seen: list[str] = []
        more = True
        while more:
            page = world.service.list(ACME, limit=3, order=order, after=seen[-1] if seen else None)
            seen += [dataset.id for dataset in page.items]
            more = page.has_more
        assert seen == expected


def test_a_page_costs_one_query(world: World) -> None:
    ids = [world.upload(f"{n}.jsonl").id for n in range(5)]
    assert world.calls.made_by(lambda: world.service.list(ACME, limit=2)) == ["Query"]
    assert world.calls.made_by(lambda: world.service.list(ACME, limit=2, after=ids[3])) == ["Query"]


def test_paging_goes_on_after_the_cursor_was_deleted(world: World) -> None:
    first, second, third = (world.upload(f"{n}.jsonl") for n in range(3))
    world.service.delete(ACME, second.id)
    assert [d.id for d in world.service.list(ACME, after=third.id).items] == [first.id]
    assert [d.id for d in world.service.list(ACME, after=second.id).items] == [first.id]


@pytest.mark.parametrize(
    ("arguments", "param"),
    [({"order": "up"}, "order"), ({"purpose": "vision"}, "purpose"), ({"after": "train.jsonl"}, "after")],
)
def test_a_wrong_list_argument_is_named(world: World, arguments: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        world.service.list(ACME, **arguments)  # type: ignore[arg-type]
    assert caught.value.param == param


def test_a_deleted_file_is_gone_for_everyone_and_deleting_again_is_safe(world: World) -> None:
    dataset = world.upload(content=b"{\n" * 60)
    assert world.service.delete(ACME, dataset.id).deleted
    assert world.service.delete(ACME, dataset.id).deleted
    assert world.keys() == []
    assert world.items() == ["FILE"]
    assert world.service.list(ACME).items == []
    with pytest.raises(NotFound):
        world.service.get(ACME, dataset.id)
    with pytest.raises(NotFound):
        world.service.stored("org_acme", dataset.id)


def test_a_tombstone_expires_after_a_month(world: World) -> None:
    dataset = world.upload()
    world.service.delete(ACME, dataset.id)
    items = world.dynamodb.scan(TableName=world.settings.table)["Items"]
    (item,) = [item for item in items if item["sk"]["S"].startswith("FILE#")]
    assert int(item["ttl"]["N"]) == int(NOW.timestamp()) + 30 * 24 * 3600


@pytest.mark.parametrize("unknown", ["file-" + "0" * 26, "train.jsonl", "x" * 3000, ""])
def test_an_unknown_id_is_not_found(world: World, unknown: str) -> None:
    for verb in (world.service.get, world.service.delete):
        with pytest.raises(NotFound) as caught:
            verb(ACME, unknown)
        assert len(caught.value.message) < 200


def test_the_pipeline_finds_a_file_by_organization(world: World) -> None:
    dataset = world.upload()
    assert world.service.stored("org_acme", dataset.id) == dataset
