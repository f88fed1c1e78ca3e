"""Repairing a file on the running cloud, and looking at what training would make of it."""

from typing import Any

from tests.journey.customer import TICKETS, Customer
from tests.journey.local_cloud import MODEL, LocalCloud, wait_for


def test_a_bad_file_is_repaired_and_its_rows_are_previewed(cloud: LocalCloud, customer: Customer) -> None:
    lines = TICKETS.read_bytes().splitlines(keepends=True)[:6]
    files = {"file": ("bad.jsonl", b"".join([*lines, b"nonsense\n"]), "application/jsonl")}
    bad = customer.call("POST", "/v1/files", files=files, data={"purpose": "fine-tune"})
    assert bad["status"] == "error"
    made = customer.call("POST", f"/v1/files/{bad['id']}/repair")
    assert (made["status"], made["rows"], made["repair"]["dropped"]) == ("processed", 6, {"invalid_json": 1})

    def look() -> dict[str, Any] | None:
        found = customer.call("GET", f"/v1/files/{made['id']}/preview?model={MODEL}&limit=2")
        return found if found["status"] == "ready" else None

    preview = dict(wait_for(look, 180, "the preview"))
    assert preview["examples"] == 6
    assert len(preview["data"]) == 2
    for row in preview["data"]:
        [sequence] = row["sequences"]
        assert len(sequence["loss_mask"]) == len(sequence["tokens"]["ids"])
        assert [span["text"] for span in sequence["trained"]]
