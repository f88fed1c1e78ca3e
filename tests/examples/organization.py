"""Examples of the account surface and of webhooks under both of their paths."""

from luthier import wiring
from luthier.webhooks.queues import Message
from tests.examples.recording import Recorder
from tests.factories import BASE_MODEL, principal
from tests.functional.webhooks.world import World

ROOT = "/v1/organization"
URL = "https://app.example.com/hooks"


def account(api: Recorder) -> None:
    keys = f"{ROOT}/api_keys"
    made = api.made(
        keys,
        {"name": "CI", "scopes": ["fine-tuning:write", "files:write"], "requests_per_minute": 60, "concurrent_jobs": 2},
    )
    api.get(f"{keys}?limit=20")
    api.get(f"{keys}/{made['id']}")
    rotated = api.made(f"{keys}/{made['id']}/rotate", {"overlap_seconds": 3600})
    api.delete(f"{keys}/{rotated['id']}")
    wiring.credits().grant("org_a", 10_000, "welcome")
    api.platform.deployed(principal(), BASE_MODEL)
    api.post("/v1/completions", {"model": BASE_MODEL, "prompt": "Where is my parcel?"})
    api.get(f"{ROOT}/credits")
    api.get(f"{ROOT}/credits/ledger?limit=20")
    api.get(f"{ROOT}/usage?group_by=model")
    api.get(f"{ROOT}/audit_logs?limit=20")


def webhooks(api: Recorder) -> None:
    root = "/v1/webhooks"
    api.get(f"{root}/events")
    made = api.made(root, {"url": URL, "events": ["training.completed", "training.failed"], "name": "CI"})
    hook = f"{root}/{made['id']}"
    api.get(root)
    api.get(hook)
    api.patch(hook, {"events": ["training.completed", "model.deployed"]})
    api.post(f"{hook}/test", {"event": "training.completed"})
    _deliver(api)
    delivery = f"{hook}/deliveries/{api.get(f'{hook}/deliveries').json()['deliveries'][0]['id']}"
    api.get(delivery)
    api.post(f"{hook}/replay", {"since": "2026-01-01T00:00:00Z", "statuses": ["delivered", "exhausted"]})
    _carry(api)
    api.post(f"{delivery}/replay")
    api.post(f"{hook}/rotate-secret", {"overlapHours": 24})
    api.delete(hook)


def webhook_endpoints(api: Recorder) -> None:
    root = "/v1/webhook_endpoints"
    api.get("/v1/webhook_event_types")
    made = api.made(root, {"name": "CI", "url": URL, "event_types": ["fine_tuning.job.succeeded"]})
    hook = f"{root}/{made['id']}"
    api.get(root)
    api.get(hook)
    api.post(hook, {"event_types": ["fine_tuning.job.succeeded", "fine_tuning.job.failed"]})
    api.post(f"{hook}/test", {"event_type": "fine_tuning.job.succeeded"})
    api.post(f"{hook}/rotate_secret", {"keep_old_secret_active_for_24_hours": True})
    api.delete(hook)


def _deliver(api: Recorder) -> None:
    """Carry what a finished job has to say to its receivers."""
    api.platform.completed(suffix="tickets")
    for event in World.on(api.platform).outbox():
        wiring.fan_out().spread(event)
    _carry(api)


def _carry(api: Recorder) -> None:
    while bodies := api.platform.queues.take("quick"):
        wiring.courier().deliver({str(number): Message.read(body) for number, body in enumerate(bodies)})
