"""What a job may cost: its cap, as every attempt has to keep it. A cap covers all attempts together.

The container ends its run with a checkpoint before the step that would break the cap. Should it hang, SageMaker ends
it one checkpoint interval later.
"""

import math
from datetime import datetime

from luthier import clock
from luthier.catalog import service as catalog
from luthier.catalog.entity import Hardware
from luthier.errors import InvalidRequest
from luthier.jobs.entity import Job

# How often the trainer saves at least, less what SageMaker grants after its signal to end.
_GRACE_SECONDS = 300 - 120


def require_room(job: Job, before: Job | None = None) -> None:
    """Raise InvalidRequest when the cap would be used up before the first step of the next attempt.

    before: the job at rest that this is the next attempt of. Where its cap has ended it, only a higher one helps.
    """
    if job.budget_left is None:
        return
    cap, spent, currency = job.cost["cap"], job.cost["accrued"], job.cost["currency"]
    needed = spent + _startup_cost(job)
    reached = before.cost["cap"] if before and _ended_by_cap(before) else 0.0
    if cap > needed and cap > reached:
        return
    least = next_cent(max(needed, reached))
    fault = "is used up before the first step"
    if cap > needed:
        fault = f"is not above the {reached} {currency} that ended the last attempt"
    raise InvalidRequest(
        f"maxCost: {cap} {currency} {fault}{f'; {spent} {currency} are spent' if spent else ''}.",
        code="max_cost_too_low",
        param="maxCost",
        details={"accrued": spent, "least": least, "currency": currency},
        remedy=f"Send at least {least}." if before else f"Send at least {least}, or no cap.",
    )


def next_cent(amount: float) -> float:
    """The lowest amount in whole cents above this one; what is below a millionth of a cent is the computer's."""
    return (math.floor(round(amount * 100, 6)) + 1) / 100


def _ended_by_cap(job: Job) -> bool:
    return job.ended == "max_cost" or (job.status_reason or {}).get("code") == "budget_reached"


def container_cap(job: Job) -> float | None:
    """What the container may spend by its own clock, which starts only when the machine is paid for already."""
    return None if job.budget_left is None else max(0.0001, round(job.budget_left - _startup_cost(job), 4))


def running_cost(job: Job, now: datetime) -> float:
    """What the run at work has cost so far; SageMaker's own count follows when it has ended."""
    if not job.started_at or not job.launch:
        return 0.0
    hardware = _hardware(job)
    hours = (now - clock.parse(job.started_at)).total_seconds() / 3600
    return round(hours * hardware.price_of(hardware.instance_type(job.launch)), 4)


def price_per_second(job: Job) -> float:
    """What a second costs: of the dearest instance type where a cap is to be kept."""
    hardware = _hardware(job)
    return (hardware.cost_per_hour if job.budget_left is None else hardware.dearest_per_hour) / 3600


def longest_seconds(job: Job) -> int | None:
    """When SageMaker has to end a run that does not end by itself; None where there is no cap."""
    per_second = price_per_second(job)
    if job.budget_left is None or not per_second:
        return None
    return int(job.budget_left / per_second) + _GRACE_SECONDS


def _startup_cost(job: Job) -> float:
    return catalog.startup_cost(catalog.find_base_model(job.base_model), _hardware(job))


def _hardware(job: Job) -> Hardware:
    return catalog.find_hardware(job.hardware)
