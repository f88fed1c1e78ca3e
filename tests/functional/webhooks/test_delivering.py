"""From an event to a POST: who hears of it, what arrives, and what happens when it does not."""

import hmac
import json
from dataclasses import replace
from datetime import timedelta

import openai
import pytest
from standardwebhooks import Webhook

from luthier import clock
from luthier.client.webhooks import verify
from luthier.jobs.entity import Job
from luthier.webhooks import signing
from luthier.webhooks.entity import CALLBACKS, SCHEDULE
from tests.factories import principal
from tests.functional.webhooks.world import DEAD, QUICK, SLOW, World, fact
from tests.receivers import OK, Receiver, answering

A, B = principal("org_a"), principal("org_b")


def test_an_event_arrives_as_the_page_shows_it_signed_for_every_verifier(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = world.endpoint(receiver.url())
    job = world.platform.completed(A)
    (done,) = [event for event in world.outbox() if event.type == "training.completed"]
    world.publish(done)
    world.work()
    (received,) = receiver.received
    assert json.loads(received.body) == {
        "event": "training.completed",
        "data": {"jobId": job.id, "baseModel": job.base_model, "artifact": job.result_model},
        "deliveredAt": "2026-01-01T00:00:00Z",
    }
    secret, stamp = endpoint.secrets[0]["secret"], int(received.headers["webhook-timestamp"])
    assert verify(received.body, received.headers, secret, now=lambda: stamp)
    monkeypatch.setattr(Webhook, "_Webhook__verify_timestamp", lambda self, header: world.platform.clock())
    assert Webhook(secret).verify(received.body, received.headers)
    assert received.headers["webhook-id"] == done.id
    assert received.headers["x-webhook-event"] == "training.completed"
    (delivery,) = world.deliveries(endpoint)
    assert (delivery.state, delivery.tries, delivery.next_attempt_at) == ("delivered", 1, None)
    (attempt,) = delivery.attempts
    assert (attempt["status_code"], attempt["response"], attempt["url"]) == (200, "ok", receiver.url())


def test_openais_client_unwraps_its_events_from_real_deliveries(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    openais = ("fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled")
    endpoint = world.endpoint(receiver.url(), *openais)
    job = world.platform.completed(A)
    world.publish()
    world.work()
    (received,) = receiver.received
    monkeypatch.setattr("time.time", lambda: world.platform.clock().timestamp())
    client = openai.OpenAI(api_key="x", webhook_secret=endpoint.secrets[0]["secret"])
    event = client.webhooks.unwrap(received.body, received.headers)
    assert (event.type, event.object, event.data.id) == ("fine_tuning.job.succeeded", "event", job.id)
    assert event.created_at == int(world.platform.clock().timestamp())


def test_an_endpoint_hears_what_it_asked_for_and_only_from_its_own_organization(world: World) -> None:
    with Receiver().running() as all_of_a, Receiver().running() as failures, Receiver().running() as all_of_b:
        world.endpoint(all_of_a.url())
        world.endpoint(failures.url(), "training.failed")
        world.endpoint(all_of_b.url(), who=B)
        world.publish(fact("training.completed"), fact("training.failed", reason=None))
        world.work()
        assert len(all_of_a.received) == 2
        assert [json.loads(one.body)["event"] for one in failures.received] == ["training.failed"]
        assert all_of_b.received == []


@pytest.mark.parametrize(
    "name",
    ["training.started", "training.completed", "training.failed", "model.deployed"],
)
def test_the_four_events_of_the_page_have_the_pages_fields(name: str, world: World, receiver: Receiver) -> None:
    world.endpoint(receiver.url())
    world.publish(fact(name, attempt=1, reason={"code": "oom", "message": "m", "hint": "h"}))
    world.work()
    data = json.loads(receiver.received[0].body)["data"]
    extra = {"error"} if name == "training.failed" else set()
    assert set(data) == {"jobId", "baseModel", "artifact"} | extra


def heard_at(world: World, url: str) -> Job:
    """A job with a `webhookUrl` on this machine, which the check of the API would not take."""
    created = world.platform.job(A)
    world.platform.job_store.save(created, created.note(created.updated_at, webhook_url=url))
    return world.platform.fresh(created)


def test_a_jobs_own_webhook_url_hears_of_its_turning_points(world: World, receiver: Receiver) -> None:
    job = world.platform.complete(world.platform.launch(heard_at(world, receiver.url("/mine"))))
    other = world.platform.completed(A)
    world.publish()
    world.work()
    assert other.id not in str([one.body for one in receiver.received])
    assert [json.loads(one.body)["event"] for one in receiver.received] == ["training.completed"]
    assert json.loads(receiver.received[0].body)["data"]["jobId"] == job.id
    secret = world.service.get(A, CALLBACKS).secrets[0]["secret"]
    received = receiver.received[0]
    stamp = int(received.headers["webhook-timestamp"])
    signing.verify(secret, received.headers, received.body, now=stamp, tolerance=0)
    assert [one.state for one in world.deliveries(CALLBACKS)] == ["delivered"]
    assert CALLBACKS not in [endpoint.id for endpoint in world.service.list(A)]


def test_a_jobs_webhook_url_hears_of_a_job_that_was_deleted_meanwhile(world: World, receiver: Receiver) -> None:
    job = world.platform.complete(world.platform.launch(heard_at(world, receiver.url("/mine"))))
    world.platform.deployed(A, job.result_model or "")
    world.platform.jobs.delete(A, job.id)
    world.publish()
    world.work()
    told = [json.loads(one.body)["event"] for one in receiver.received]
    assert sorted(told) == ["model.deployed", "training.completed"]


def test_the_tries_lie_as_far_apart_as_promised_over_27_hours(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda received: answering(500, b"broken")
    endpoint = world.endpoint(receiver.url())
    start = world.platform.clock.moment
    world.publish(fact())
    world.work()
    while due := world.deliveries(endpoint)[0].next_attempt_at:
        world.wait(seconds=(clock.parse(due) - world.platform.clock()).total_seconds() - 1)
        tried = len(receiver.received)
        world.wait(seconds=1)
        assert len(receiver.received) == tried + 1
    delivery = world.deliveries(endpoint)[0]
    assert (delivery.state, delivery.tries, len(receiver.received)) == ("exhausted", 8, 8)
    assert delivery.reason == "The endpoint answered 500."
    sent = [int(one.headers["webhook-timestamp"]) - start.timestamp() for one in receiver.received]
    assert sent == [sum(SCHEDULE[: n + 1]) for n in range(len(SCHEDULE))]
    assert sent[-1] == 27 * 3600 + 35 * 60 + 5
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1


def test_a_delivery_that_was_given_up_is_reported_and_kept_for_a_person(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda received: answering(503)
    endpoint = world.endpoint(receiver.url("/services/T0/secret?token=secret"), "training.completed")
    told = fact()
    world.publish(told)
    world.work()
    for _ in SCHEDULE:
        world.wait(hours=11)
    (buried,) = world.queues.take(DEAD)
    assert json.loads(buried)["event_id"] == told.id
    (reported,) = [event for event in world.outbox() if event.type == "webhook.delivery_exhausted"]
    assert reported.data == {
        "webhookId": endpoint.id,
        "url": receiver.url(""),
        "deliveryId": told.id,
        "event": "training.completed",
        "tries": 8,
        "error": "The endpoint answered 503.",
    }


def test_silence_about_a_webhook_event_is_not_reported_again(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda received: answering(500)
    world.endpoint(receiver.url())
    world.publish(fact("webhook.disabled"))
    world.work()
    for _ in SCHEDULE:
        world.wait(hours=11)
    assert world.outbox() == []


def test_a_receiver_that_answers_500_for_an_hour_gets_everything_afterwards(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda received: answering(500)
    endpoint = world.endpoint(receiver.url())
    for _ in range(3):
        world.publish(fact())
        world.wait(minutes=20)
    receiver.answer = lambda received: OK
    for _ in range(30):
        world.wait(minutes=10)
    assert [one.state for one in world.deliveries(endpoint)] == ["delivered"] * 3
    assert world.fresh(endpoint).failing_since is None


def test_an_endpoint_that_fails_for_five_days_is_disabled_and_says_so(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda received: answering(500)
    endpoint = world.endpoint(receiver.url("/services/T0/secret?token=secret"))
    for _ in range(6):
        world.publish(fact())
        world.work()
        world.wait(days=1)
    disabled = world.fresh(endpoint)
    assert disabled.status == "disabled"
    assert disabled.disabled_reason == "Every try since 2026-01-01T00:00:00Z has failed."
    (told,) = [event for event in world.outbox() if event.type == "webhook.disabled"]
    assert told.data == {
        "webhookId": endpoint.id,
        "url": receiver.url(""),
        "failingSince": "2026-01-01T00:00:00Z",
    }
    tried = len(receiver.received)
    for _ in range(40):
        world.wait(hours=1)
    assert len(receiver.received) == tried
    assert {one.state for one in world.deliveries(endpoint)} <= {"cancelled", "exhausted", "skipped"}


def test_one_success_starts_the_five_days_anew(world: World, receiver: Receiver) -> None:
    endpoint = world.endpoint(receiver.url())
    for day in range(8):
        receiver.answer = lambda received, day=day: OK if day == 4 else answering(500)  # type: ignore[misc]
        world.publish(fact())
        world.work()
        world.platform.clock.advance(days=1)
    assert world.fresh(endpoint).status == "enabled"


def test_a_quiet_endpoint_is_not_disabled_for_a_failure_a_week_after_another(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda received: answering(500)
    endpoint = world.endpoint(receiver.url())
    world.publish(fact())
    for _ in range(40):
        world.wait(hours=1)
    world.wait(days=7)
    receiver.received.clear()
    world.publish(fact())
    world.work()
    assert world.fresh(endpoint).status == "enabled"
    receiver.answer = lambda received: OK
    world.wait(seconds=5)
    assert [one.state for one in world.deliveries(endpoint)] == ["delivered", "exhausted"]
    assert world.fresh(endpoint).failed_days == []


def test_a_new_url_and_an_enabled_endpoint_have_not_failed_yet(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda received: answering(500)
    endpoint = world.endpoint(receiver.url("/old"))
    world.publish(fact())
    world.work()
    assert world.fresh(endpoint).failing_since
    assert world.service.update(A, endpoint.id, name="n").failing_since
    moved = world.service.update(A, endpoint.id, url=receiver.url("/new"))
    assert (moved.failing_since, moved.failed_days) == (None, [])


def test_a_receiver_that_hangs_moves_to_the_slow_lane_and_delays_nobody(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda received: None
    with Receiver().running() as healthy:
        hanging, good = world.endpoint(receiver.url()), world.endpoint(healthy.url())
        for _ in range(5):
            world.publish(fact())
        assert world.batch(QUICK)
        assert len(healthy.received) == 5
        assert len(world.queues.waiting[SLOW]) == 5
        assert world.fresh(hanging).is_slow(world.platform.clock())
        assert [one.state for one in world.deliveries(good)] == ["delivered"] * 5
        # From now on its events do not even enter the quick lane.
        world.publish(fact())
        assert len(world.queues.take(QUICK, 100)) == 1
        world.work()
        assert {one.attempts[-1]["error"] for one in world.deliveries(hanging)} == {"No answer within 0.5 seconds."}
        assert {one.tries for one in world.deliveries(hanging)} == {1}


def test_a_message_that_was_in_the_quick_lane_already_changes_lanes_without_a_try(
    world: World, receiver: Receiver
) -> None:
    endpoint = world.endpoint(receiver.url())
    world.publish(fact())
    world.store.note(endpoint, slow_until="2026-01-01T01:00:00Z")
    world.batch(QUICK)
    assert receiver.received == []
    world.batch(SLOW)
    assert len(receiver.received) == 1


def test_a_redirect_to_a_private_address_is_a_failure_that_the_log_shows(world: World, receiver: Receiver) -> None:
    with Receiver().running() as inside:
        receiver.answer = lambda received: answering(307, Location=inside.url())
        endpoint = world.endpoint(receiver.url())
        world.publish(fact())
        world.work()
        assert inside.received == []
    (delivery,) = world.deliveries(endpoint)
    assert (delivery.state, delivery.attempts[0]["status_code"]) == ("pending", 307)


def test_a_delivery_that_cannot_be_posted_is_tried_given_up_and_harms_no_other(
    world: World, receiver: Receiver
) -> None:
    broken, good = world.endpoint(receiver.url()), world.endpoint(receiver.url())
    # As a row from before the host was checked, and one whose secret nobody can read.
    world.store.put(broken, replace(broken, url="https://a..b/x", version=2))
    odd = world.endpoint(receiver.url())
    world.store.put(odd, replace(odd, secrets=[{"secret": "whsec_a", "expires_at": None}], version=2))
    world.publish(fact())
    world.work()
    assert [one.state for one in world.deliveries(good)] == ["delivered"]
    for _ in range(8):
        world.wait(hours=11)
    for endpoint in (broken, odd):
        (delivery,) = world.deliveries(endpoint)
        assert (delivery.state, delivery.tries) == ("exhausted", 8)
        assert delivery.reason
        assert world.fresh(endpoint).failing_since


def test_a_disabled_or_deleted_endpoint_gets_nothing_of_what_is_on_its_way(world: World, receiver: Receiver) -> None:
    first, second = world.endpoint(receiver.url()), world.endpoint(receiver.url())
    world.publish(fact())
    world.service.update(A, first.id, enabled=False)
    world.service.delete(A, second.id)
    world.work()
    assert receiver.received == []
    reasons = {world.deliveries(one)[0].reason for one in (first, second)}
    assert reasons == {"The endpoint is disabled.", "The endpoint was deleted."}


def test_a_changed_url_takes_over_what_is_still_to_be_retried(world: World, receiver: Receiver) -> None:
    receiver.answer = lambda received: answering(500)
    endpoint = world.endpoint(receiver.url("/old"))
    world.publish(fact())
    world.work()
    receiver.answer = lambda received: OK
    world.service.update(A, endpoint.id, url=receiver.url("/new"))
    world.wait(seconds=5)
    assert [one.path for one in receiver.received] == ["/old", "/new"]


def test_during_the_overlap_of_a_rotation_requests_carry_both_signatures(world: World, receiver: Receiver) -> None:
    endpoint = world.endpoint(receiver.url())
    rotated = world.service.rotate_secret(A, endpoint.id, overlap=timedelta(hours=24))
    old, new = endpoint.secrets[0]["secret"], rotated.secrets[0]["secret"]

    def fits(secret: str) -> bool:
        world.publish(fact())
        world.work()
        received = receiver.received[-1]
        try:
            stamp = int(received.headers["webhook-timestamp"])
            signing.verify(secret, received.headers, received.body, now=stamp, tolerance=0)
        except signing.SignatureInvalid:
            return False
        return True

    def plain(secret: str) -> bool:
        received = receiver.received[-1]
        return received.headers["x-webhook-signature"] == hmac.digest(secret.encode(), received.body, "sha256").hex()

    assert fits(old)
    assert fits(new)
    assert plain(old)
    world.platform.clock.advance(hours=25)
    assert not fits(old)
    assert fits(new)
    assert plain(new)


def test_a_second_rotation_keeps_the_overlap_that_the_first_one_promised(world: World, receiver: Receiver) -> None:
    endpoint = world.endpoint(receiver.url())
    for _ in range(2):
        rotated = world.service.rotate_secret(A, endpoint.id, overlap=timedelta(hours=24))
    now = world.platform.clock()
    assert endpoint.secrets[0]["secret"] in rotated.keys(now)
    assert len(rotated.keys(now)) == 3
    cut_off = world.service.rotate_secret(A, endpoint.id, overlap=timedelta(0))
    assert len(cut_off.keys(now)) == 1
