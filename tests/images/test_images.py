"""The pinned table of serving images against AWS's own resolver: `make test-images`, in an environment of its own."""

import json

from infra.build_images import FRAMEWORK, TABLE, VERSION, serving_images


def test_the_pinned_table_is_what_the_resolver_answers() -> None:
    assert json.loads(TABLE.read_text())["serving"] == serving_images()


def test_every_region_has_the_pinned_version() -> None:
    for region, uri in json.loads(TABLE.read_text())["serving"].items():
        assert f".{region}.amazonaws." in uri, uri
        assert f":{VERSION}-" in uri, uri
    assert FRAMEWORK == "djl-lmi"
