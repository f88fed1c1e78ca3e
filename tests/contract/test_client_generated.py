"""The Python client follows from openapi.json, and knows every error that a surface can answer."""

import json
from functools import reduce
from typing import Any

import pytest

from functions.api.build_openapi import SURFACES
from infra import build_client, client_names
from luthier import errors
from luthier.batches import entity as batches
from luthier.client import Luthier
from luthier.client import errors as ours
from luthier.client.resources import Listing, Method
from luthier.datasets import entity as datasets
from luthier.jobs import entity as jobs
from luthier.processing import entity as processing
from tests.contract.test_error_shapes import FAMILIES, SHAPES


def test_the_modules_are_what_the_document_says() -> None:
    written = {path.name: path.read_text() for path in build_client.FOLDER.glob("*.py")}
    assert written == build_client.rendered(), "run `make client`"


def test_every_operation_has_a_method_or_a_reason_to_have_none() -> None:
    named = {operation for methods in client_names.RESOURCES.values() for operation in methods.values()}
    assert named | set(client_names.UNNAMED) == set(build_client.OPERATIONS)
    assert named & set(client_names.UNNAMED) == set()


@pytest.mark.parametrize("resource", client_names.RESOURCES)
def test_every_resource_hangs_where_its_name_says(resource: str) -> None:
    found = reduce(getattr, resource.split("."), Luthier("k", "http://h"))
    for method in client_names.RESOURCES[resource]:
        assert isinstance(getattr(type(found), method), Method | Listing)


@pytest.mark.parametrize(
    ("resource", "ended"),
    [
        ("fine_tuning.jobs", set(jobs.TERMINAL)),
        ("fine_tunes", set(jobs.TERMINAL)),
        ("training.evaluations", {processing.COMPLETED, processing.FAILED}),
        ("batches", set(batches.ENDED)),
        ("inference.batches", set(batches.ENDED)),
        ("endpoints.runs", set(batches.ENDED)),
        ("files", {datasets.PROCESSED, datasets.ERROR}),
    ],
)
def test_whoever_waits_knows_every_end(resource: str, ended: set[str]) -> None:
    known = client_names.BASES[resource]
    assert set(f"{known.ended} {known.failed}".split()) >= ended
    assert set(known.ended.split()) & set(known.failed.split()) == set()


EXPECTED: dict[int, type[ours.LuthierError]] = {
    400: ours.InvalidRequest,
    401: ours.AuthenticationError,
    402: ours.PaymentRequired,
    403: ours.PermissionDenied,
    404: ours.NotFound,
    405: ours.InvalidRequest,
    409: ours.Conflict,
    413: ours.InvalidRequest,
    415: ours.InvalidRequest,
    422: ours.InvalidRequest,
    429: ours.RateLimited,
    500: ours.ServiceUnavailable,
    501: ours.ServiceUnavailable,
    503: ours.ServiceUnavailable,
}


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_every_family_of_every_surface_is_understood(surface: str, family: type[errors.LuthierError]) -> None:
    raised = family("Message.", param="hyperparameters.learningRate", remedy="Remedy.", details={"reason": None})
    understood = _through(surface, raised)
    assert type(understood) is EXPECTED[family.status]
    assert (understood.message, understood.request_id, understood.status) == (
        "Message. Remedy.",
        "req_1",
        family.status,
    )
    assert understood.remedy
    # The playground's page has one code for all bad requests, and no fields.
    if surface != "playground":
        assert understood.code == raised.code


@pytest.mark.parametrize("surface", [surface for surface in SURFACES if surface != "playground"])
def test_a_field_is_told_in_pythons_spelling(surface: str) -> None:
    raised = errors.InvalidRequest("m", code="invalid_value", param="scaling.minWorkers")
    understood = _through(surface, raised)
    assert (understood.code, understood.field) == ("invalid_value", "scaling.min_workers")


def _through(surface: str, raised: errors.LuthierError) -> ours.LuthierError:
    body: dict[str, Any] = SHAPES[surface](raised, "req_1", "2026-01-01T00:00:00Z")
    return ours.of_answer(raised.status, json.dumps(body), request_id="req_1")
