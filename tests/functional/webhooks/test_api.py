"""Managing webhooks: the tuning surface's paths and OpenAI's, the second through the published client."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import jsonschema
import openai
import pytest

from luthier import wiring
from luthier.errors import Conflict
from luthier.events.entity import catalogue
from luthier.webhooks import service
from luthier.webhooks.queues import Message
from tests.factories import principal
from tests.fakes import FakeQueues
from tests.functional.webhooks.world import QUICK, World, fact
from tests.gateway import Gateway
from tests.receivers import OK, Receiver, answering

WEBHOOKS, OPENAI = "/v1/webhooks", "/v1/webhook_endpoints"
PUBLIC = "https://app.example.com/hooks"
A = principal("org_a")


@pytest.fixture
def api(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """The API where receivers on this machine may be reached, over queues that tests empty by hand."""
    queues = FakeQueues(api.platform.clock)
    known = wiring.client
    monkeypatch.setattr(wiring, "client", lambda name: queues if name == "sqs" else known(name))
    for name, value in {"PRIVATE_NETWORKS": "127.0.0.0/8", "QUEUE_URL": QUICK, "DEAD_LETTERS_URL": "dead"}.items():
        monkeypatch.setenv(f"LUTHIER_WEBHOOK_{name}", value)
    monkeypatch.setenv("LUTHIER_SLOW_WEBHOOK_QUEUE_URL", "slow")
    for name in ("settings", "destinations", "_delivery_queues", "_sender", "webhooks", "fan_out", "courier"):
        getattr(wiring, name).cache_clear()
    api.queues = queues  # type: ignore[attr-defined]
    yield api
    wiring._sender().close()


def work(api: Gateway) -> None:
    while bodies := api.queues.take(QUICK) + api.queues.take("slow"):  # type: ignore[attr-defined]
        wiring.courier().deliver({str(i): Message.read(body) for i, body in enumerate(bodies)})


def test_an_endpoint_is_registered_with_a_secret_that_is_shown_once(api: Gateway) -> None:
    made = api.post(WEBHOOKS, {"url": PUBLIC, "events": ["training.completed"], "name": "CI"})
    assert made.status == 201
    body = made.json()
    assert body["secret"].startswith("whsec_")
    assert body["secretHint"] == f"whsec_…{body['secret'][-4:]}"
    shown = api.get(f"{WEBHOOKS}/{body['id']}").json()
    assert shown == {name: value for name, value in body.items() if name != "secret"}
    assert (shown["url"], shown["events"], shown["status"]) == (PUBLIC, ["training.completed"], "enabled")
    assert api.get(WEBHOOKS).json() == {"webhooks": [shown]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "https://a..b/x"}, "url"),
        ({"url": "https://user:secret@app.example.com/"}, "url"),
        ({"url": PUBLIC, "events": []}, "events"),
        ({"url": PUBLIC, "events": ["training.exploded"]}, "events"),
        ({"url": PUBLIC, "event": "training.completed"}, "event"),
    ],
)
def test_a_wrong_endpoint_is_refused_by_the_name_of_the_field(api: Gateway, body: Any, param: str) -> None:
    refused = api.post(WEBHOOKS, body)
    assert refused.status == 400
    assert refused.json()["error"]["details"]["param"] == param


@pytest.mark.parametrize("url", ["", "https://a..b/x", f"https://{'a' * 64}.com/"])
def test_an_address_that_no_name_server_takes_is_refused_wherever_it_is_given(api: Gateway, url: str) -> None:
    refused = api.post(OPENAI, {"name": "n", "url": url, "event_types": ["*"]})
    assert (refused.status, refused.json()["error"]["param"]) == (400, "url")
    job = {"baseModel": "llama-3.1-8b", "dataset": "train.jsonl", "webhookUrl": url}
    refused = api.post("/v1/fine-tune", job)
    assert (refused.status, refused.json()["error"]["details"]["param"]) == (400, "webhookUrl")


def test_a_test_event_does_not_wait_longer_than_a_person(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "QUICK_SECONDS", 0.2)
    with Receiver(answer=lambda received: None).running() as receiver:
        path = f"{WEBHOOKS}/{api.post(WEBHOOKS, {'url': receiver.url()}).json()['id']}"
        assert api.post(f"{path}/test").json()["error"] == "No answer within 0.2 seconds."


def test_an_endpoint_is_changed_disabled_enabled_and_deleted(api: Gateway) -> None:
    path = f"{WEBHOOKS}/{api.post(WEBHOOKS, {'url': PUBLIC}).json()['id']}"
    changed = api.send("PATCH", path, {"events": ["model.deployed"], "enabled": False}).json()
    assert (changed["events"], changed["status"]) == (["model.deployed"], "disabled")
    assert changed["disabledReason"] == "It was disabled on request."
    assert api.send("PATCH", path, {"enabled": True}).json()["status"] == "enabled"
    assert api.delete(path).status == 204
    assert api.get(path).status == 404


@pytest.mark.parametrize("field", ["url", "events", "name", "enabled"])
def test_a_field_cannot_be_changed_to_nothing(api: Gateway, field: str) -> None:
    made = api.post(WEBHOOKS, {"url": PUBLIC, "name": "n"}).json()
    refused = api.send("PATCH", f"{WEBHOOKS}/{made['id']}", {field: None})
    assert (refused.status, refused.json()["error"]["details"]["param"]) == (400, field)
    if field != "enabled":
        name = {"events": "event_types"}.get(field, field)
        refused = api.post(f"{OPENAI}/{made['id']}", {name: None})
        assert (refused.status, refused.json()["error"]["param"]) == (400, name)
    assert api.send("PATCH", f"{WEBHOOKS}/{made['id']}", {}).json()["name"] == "n"


def test_a_test_event_is_sent_at_once_and_logged(api: Gateway) -> None:
    with Receiver().running() as receiver:
        path = f"{WEBHOOKS}/{api.post(WEBHOOKS, {'url': receiver.url()}).json()['id']}"
        tested = api.post(f"{path}/test", {"event": "model.deployed"}).json()
        assert (tested["success"], tested["statusCode"], tested["response"]) == (True, 200, "ok")
        assert json.loads(receiver.received[0].body)["event"] == "model.deployed"
        receiver.answer = lambda received: answering(500, b"broken")
        failed = api.post(f"{path}/test").json()
        assert (failed["success"], failed["error"]) == (False, "The endpoint answered 500.")
        logged = api.get(f"{path}/deliveries").json()["deliveries"]
        assert [one["status"] for one in logged] == ["cancelled", "delivered"]
        assert logged[0]["id"] == failed["deliveryId"]


def test_the_log_shows_request_answer_latency_and_the_next_attempt(api: Gateway) -> None:
    with Receiver(answer=lambda received: answering(502, b"bad gateway")).running() as receiver:
        path = f"{WEBHOOKS}/{api.post(WEBHOOKS, {'url': receiver.url()}).json()['id']}"
        told = fact()
        wiring.fan_out().spread(told)
        work(api)
        (listed,) = api.get(f"{path}/deliveries?status=pending").json()["deliveries"]
        assert (listed["id"], listed["event"], listed["tries"]) == (told.id, "training.completed", 1)
        assert listed["nextAttemptAt"] is not None
        (attempt,) = listed["attempts"]
        assert (attempt["statusCode"], attempt["response"], attempt["error"]) == (502, "bad gateway", None)
        assert attempt["milliseconds"] >= 0
        shown = api.get(f"{path}/deliveries/{told.id}").json()
        assert shown["request"]["url"] == receiver.url()
        assert shown["request"]["body"] == json.loads(receiver.received[0].body)
        assert shown["request"]["headers"]["webhook-id"] == told.id
        assert "signature" not in str(shown["request"]["headers"]).lower()


def test_one_delivery_or_all_since_a_time_are_replayed(api: Gateway) -> None:
    with Receiver().running() as receiver:
        path = f"{WEBHOOKS}/{api.post(WEBHOOKS, {'url': receiver.url()}).json()['id']}"
        told = [fact() for _ in range(3)]
        for one in told:
            wiring.fan_out().spread(one)
        work(api)
        again = api.post(f"{path}/deliveries/{told[0].id}/replay").json()
        assert (again["status"], again["tries"]) == ("pending", 0)
        work(api)
        assert [one.headers["webhook-id"] for one in receiver.received].count(told[0].id) == 2
        since = {"since": "2026-01-01T00:00:00Z"}
        everything = {"complete": True, "lastId": None}
        assert api.post(f"{path}/replay", since).json() == {"replayed": 3} | everything
        assert api.post(f"{path}/replay", since).json() == {"replayed": 0} | everything
        work(api)
        assert len(receiver.received) == 7
        assert api.post(f"{path}/replay", since | {"after": told[1].id}).json()["replayed"] == 1
        assert api.post(f"{path}/replay", since | {"statuses": ["exhausted"]}).json()["replayed"] == 0
        assert api.post(f"{path}/replay", {"since": "2027-01-01T00:00:00Z"}).json()["replayed"] == 0
        assert api.post(f"{path}/replay", {"since": "yesterday"}).json()["error"]["details"]["param"] == "since"


def test_nothing_is_replayed_to_a_disabled_endpoint(api: Gateway) -> None:
    path = f"{WEBHOOKS}/{api.post(WEBHOOKS, {'url': PUBLIC}).json()['id']}"
    api.send("PATCH", path, {"enabled": False})
    refused = api.post(f"{path}/replay", {"since": "2026-01-01T00:00:00Z"})
    assert (refused.status, refused.json()["error"]["code"]) == (409, "STATE_CONFLICT")


def test_the_log_is_paged_newest_first(api: Gateway) -> None:
    path = f"{WEBHOOKS}/{api.post(WEBHOOKS, {'url': PUBLIC}).json()['id']}"
    told = [fact() for _ in range(5)]
    for one in told:
        wiring.fan_out().spread(one)
    first = api.get(f"{path}/deliveries?limit=3").json()
    assert ([one["id"] for one in first["deliveries"]], first["hasMore"]) == ([one.id for one in told[:1:-1]], True)
    assert first["lastId"] == told[2].id
    rest = api.get(f"{path}/deliveries?limit=3&after={first['lastId']}").json()
    assert ([one["id"] for one in rest["deliveries"]], rest["hasMore"]) == ([one.id for one in told[1::-1]], False)
    assert rest["lastId"] is None
    assert api.get(f"{path}/deliveries?status=lost").status == 400


def test_the_secret_of_all_callbacks_is_rotated_like_any_other_and_nothing_else_of_it(api: Gateway) -> None:
    path = f"{WEBHOOKS}/callbacks"
    first = api.post(f"{path}/rotate-secret", {"overlapHours": 0}).json()
    assert api.get(path).json()["url"] is None
    second = api.post(f"{path}/rotate-secret").json()
    assert first["secret"] != second["secret"]
    for refused in (api.delete(path), api.send("PATCH", path, {"name": "x"}), api.post(f"{path}/test")):
        assert (refused.status, refused.json()["error"]["code"]) == (422, "NOT_AN_ENDPOINT")


def test_reading_the_callbacks_makes_nothing(api: Gateway) -> None:
    reader = api.caller("webhooks:read")
    for path in (f"{WEBHOOKS}/callbacks", f"{WEBHOOKS}/callbacks/deliveries", f"{OPENAI}/callbacks"):
        assert reader.get(path).status == 404
    assert "rotate-secret" in reader.get(f"{WEBHOOKS}/callbacks").text
    assert wiring._webhook_store().endpoints("org_a") == []


def test_the_first_rotation_of_the_callbacks_leaves_no_secret_that_nobody_has_seen(api: Gateway) -> None:
    shown = [api.post(f"{WEBHOOKS}/callbacks/rotate-secret").json()["secret"] for _ in range(2)]
    stored = wiring.webhooks().get(A, "callbacks").secrets
    assert [entry["secret"] for entry in stored] == shown[::-1]


@pytest.mark.parametrize("change", [{}, {"name": "n"}, {"url": PUBLIC, "events": ["*", "*"]}, {"enabled": True}])
def test_a_change_to_what_is_already_so_changes_nothing(api: Gateway, change: Any) -> None:
    made = api.post(WEBHOOKS, {"url": PUBLIC, "name": "n"}).json()
    api.platform.clock.advance(hours=1)
    changed = api.send("PATCH", f"{WEBHOOKS}/{made['id']}", change).json()
    assert changed == {name: value for name, value in made.items() if name != "secret"}


def test_openais_routes_name_openais_fields(api: Gateway) -> None:
    made = api.post(OPENAI, {"name": "n", "url": PUBLIC, "event_types": ["*"]}).json()
    wrong = {"event_types": ["training.exploded"]}
    for path, body in (
        (OPENAI, {"name": "n", "url": PUBLIC} | wrong),
        (f"{OPENAI}/{made['id']}", wrong),
        (f"{OPENAI}/{made['id']}/test", {"event_type": "training.exploded"}),
    ):
        refused = api.post(path, body)
        assert (refused.status, refused.json()["error"]["param"]) == (400, next(iter(set(body) - {"name", "url"})))
    refused = api.post(f"{WEBHOOKS}/{made['id']}/test", {"event": "training.exploded"})
    assert (refused.status, refused.json()["error"]["details"]["param"]) == (400, "event")


def test_an_organization_has_at_most_twenty_endpoints(api: Gateway) -> None:
    for _ in range(20):
        assert api.post(WEBHOOKS, {"url": PUBLIC}).status == 201
    refused = api.post(WEBHOOKS, {"url": PUBLIC})
    assert (refused.status, refused.json()["error"]["code"]) == (409, "TOO_MANY_ENDPOINTS")


def test_endpoints_registered_at_once_do_not_exceed_the_limit(world: World) -> None:
    def register(_: int) -> bool:
        try:
            world.endpoint(PUBLIC)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as clients:
        assert sum(clients.map(register, range(24))) == 20
    first = world.service.list(A)[0]
    for _ in range(2):
        world.store.remove(first)
    assert [register(0), register(0)] == [True, False]


def test_another_organization_finds_nothing_under_any_id(api: Gateway) -> None:
    webhook = api.post(WEBHOOKS, {"url": PUBLIC}).json()["id"]
    told = fact()
    wiring.fan_out().spread(told)
    other = api.caller("admin", organization_id="org_b")
    paths = [f"{WEBHOOKS}/{webhook}", f"{WEBHOOKS}/{webhook}/deliveries", f"{WEBHOOKS}/{webhook}/deliveries/{told.id}"]
    assert [other.get(path).status for path in (*paths, f"/v1/webhook_endpoints/{webhook}")] == [404] * 4
    assert other.post(f"{WEBHOOKS}/{webhook}/rotate-secret").status == 404
    assert other.delete(f"{WEBHOOKS}/{webhook}").status == 404
    assert other.get(WEBHOOKS).json() == {"webhooks": []}


def test_reading_and_writing_need_their_scopes(api: Gateway) -> None:
    reader, writer = api.caller("webhooks:read"), api.caller("webhooks:write")
    assert (reader.get(WEBHOOKS).status, reader.post(WEBHOOKS, {"url": PUBLIC}).status) == (200, 403)
    assert (writer.get(WEBHOOKS).status, writer.post(WEBHOOKS, {"url": PUBLIC}).status) == (403, 201)


def test_the_events_are_listed_with_examples_that_fit_their_schemas(api: Gateway) -> None:
    events = api.get(f"{WEBHOOKS}/events").json()["events"]
    assert [event["name"] for event in events] == list(catalogue())
    assert [event["name"] for event in events if event["reserved"]] == []
    for event in events:
        jsonschema.validate(event["example"], event["dataSchema"])


@pytest.fixture
def client(api: Gateway) -> openai.OpenAI:
    def through(request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode()
        answer = api.stranger().send(request.method, path, request.read() or None, headers=dict(request.headers))
        return httpx2.Response(answer.status, headers=answer.headers, text=answer.text)

    return openai.OpenAI(
        api_key=str(api.key),
        base_url="http://api.test/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(through)),
        max_retries=0,
    )


def test_the_openai_client_manages_endpoints(client: openai.OpenAI) -> None:
    made = client.webhooks.create(name="Mine", url=PUBLIC, event_types=["fine_tuning.job.succeeded"])
    assert made.signing_secret.startswith("whsec_")
    assert made.object == "webhook_endpoint"
    assert client.webhooks.retrieve(made.id).event_types == ["fine_tuning.job.succeeded"]
    changed = client.webhooks.update(made.id, name="Ours", event_types=["fine_tuning.job.failed"])
    assert (changed.name, changed.event_types) == ("Ours", ["fine_tuning.job.failed"])
    more = [client.webhooks.create(name=str(i), url=PUBLIC, event_types=["batch.completed"]).id for i in range(3)]
    assert [one.id for one in client.webhooks.list(limit=2)] == [made.id, *more]
    rotated = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    assert rotated.signing_secret != made.signing_secret
    assert client.webhooks.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.webhooks.retrieve(made.id)


def test_the_openai_client_lists_event_types(client: openai.OpenAI) -> None:
    listed = client.webhooks.event_types.list().data
    assert "fine_tuning.job.succeeded" in listed
    assert "batch.completed" in listed


def test_the_openai_client_sends_a_test_event(client: openai.OpenAI) -> None:
    with Receiver().running() as receiver:
        made = client.webhooks.create(name="x", url=receiver.url(), event_types=["fine_tuning.job.failed"])
        result = client.webhooks.test(made.id, event_type="fine_tuning.job.failed")
        assert (result.object, result.status_code, result.success) == ("webhook_endpoint.test", 200, True)
        event = json.loads(receiver.received[0].body)
        assert (event["object"], event["type"]) == ("event", "fine_tuning.job.failed")
        receiver.answer = lambda received: OK if received.path == "/other" else b""
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            client.webhooks.test(made.id, event_type="fine_tuning.job.failed")
        assert refused.value.code == "endpoint_unreachable"


@pytest.mark.parametrize("path", [WEBHOOKS, OPENAI])
def test_a_create_that_is_sent_again_makes_one_endpoint_and_reveals_the_same_secret(api: Gateway, path: str) -> None:
    body = {"url": PUBLIC, "events": ["*"]} if path == WEBHOOKS else {"url": PUBLIC, "event_types": ["*"], "name": "n"}
    for pair in (
        [{"Idempotency-Key": "k"}] * 2,
        [{"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}],
    ):
        first, second = (api.post(path, body, headers=headers) for headers in pair)
        assert first.status == second.status, second.text
        assert first.json() == second.json()
    assert len(api.get(WEBHOOKS).json()["webhooks"]) == 2


@pytest.mark.parametrize(
    "path", [f"{WEBHOOKS}/{{}}/rotate-secret", f"{WEBHOOKS}/callbacks/rotate-secret", f"{OPENAI}/{{}}/rotate_secret"]
)
def test_a_rotation_that_is_sent_again_makes_one_secret(api: Gateway, path: str) -> None:
    template = path.replace("callbacks", "{}")
    path = path.format(api.post(WEBHOOKS, {"url": PUBLIC}).json()["id"])
    seen = []
    for pair in (
        [{"Idempotency-Key": "k"}] * 2,
        [{"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}],
    ):
        first, second = (api.post(path, headers=headers) for headers in pair)
        assert (first.status, first.json()) == (200, second.json())
        seen.append(first.json().get("secret") or first.json()["signing_secret"])
    assert len(set(seen)) == 2
    other = template.format(api.post(WEBHOOKS, {"url": PUBLIC}).json()["id"])
    refused = api.post(other, headers={"Idempotency-Key": "k"})
    assert (refused.status, refused.json()["error"]["code"].upper()) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(("path", "field"), [(WEBHOOKS, "event"), (OPENAI, "event_type")])
def test_a_test_event_has_one_type(api: Gateway, path: str, field: str) -> None:
    endpoint = api.post(WEBHOOKS, {"url": PUBLIC, "events": ["*"]}).json()
    assert api.post(f"{path}/{endpoint['id']}/test", {field: "*"}).status == 400


def test_one_idempotency_key_on_two_surfaces_is_two_keys(api: Gateway) -> None:
    headers = {"Idempotency-Key": "same"}
    ours = api.post(WEBHOOKS, {"url": PUBLIC, "events": ["training.completed"]}, headers=headers).json()
    asked = {"url": PUBLIC, "event_types": ["training.completed"], "name": ""}
    theirs = api.post(OPENAI, asked, headers=headers)
    assert theirs.status == 200, theirs.text
    assert (theirs.json()["id"] == ours["id"], len(api.get(WEBHOOKS).json()["webhooks"])) == (False, 2)
    first = api.post(f"{WEBHOOKS}/{ours['id']}/rotate-secret", {"overlapHours": 0}, headers=headers).json()
    second = api.post(f"{OPENAI}/{ours['id']}/rotate_secret", headers=headers)
    assert second.status == 200, second.text
    assert first["secret"] not in second.text
