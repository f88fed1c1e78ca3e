"""Metering: what was used is counted per day and model, and charged where work is billed."""

import logging
from collections.abc import Sequence
from datetime import UTC, date, time, timedelta
from typing import Any

from luthier import clock, table
from luthier.accounts.entity import Principal
from luthier.credits.service import CreditService
from luthier.errors import InvalidRequest
from luthier.usage.entity import INFERENCE, MICROCENTS, PROCESSING, TRAINING, Row, Summary, Use, grouped
from luthier.usage.store import UsageStore

logger = logging.getLogger(__name__)

MOST_DAYS = 366
_DAY = timedelta(days=1)
_DEFAULT_SPAN = 30 * _DAY


class UsageService:
    """price: cents per 1,000 tokens of inference; 0 charges nothing."""

    def __init__(
        self, store: UsageStore, credits: CreditService, *, price: float = 0.0, now: clock.Clock = clock.now
    ) -> None:
        self._store = store
        self._credits = credits
        self._price = price
        self._now = now

    def admit_inference(self, principal: Principal) -> None:
        """Raise InsufficientCredits when inference costs something and nothing is left to pay it with."""
        if self._price:
            self._credits.require(principal.organization_id)

    def price_of(self, tokens: dict[str, Any]) -> float:
        """What an answer is charged, in the currency of the ledger (100 cents); `tokens` as OpenAI's `usage` counts."""
        counted = (tokens.get("prompt_tokens") or 0) + (tokens.get("completion_tokens") or 0)
        return counted * self._price / 1_000 / 100 if self._credits.billing else 0.0

    def meter_inference(self, principal: Principal, model: str, *, prompt_tokens: int, completion_tokens: int) -> None:
        """Count an answer and charge the whole cents that it completes. The rest of a cent waits for the next one.

        It was given already, so nothing that fails here may take it back.
        """
        self._meter(principal.organization_id, self._inference(model, 1, prompt_tokens, completion_tokens))

    def inference(
        self, organization_id: str, model: str, *, requests: int, prompt_tokens: int, completion_tokens: int
    ) -> table.Write:
        """The write that counts answers, to be part of the transaction that keeps them. `charge` follows it."""
        row = self._inference(model, requests, prompt_tokens, completion_tokens)
        return self._store.addition(organization_id, row)

    def charge(self, organization_id: str, model: str) -> None:
        """Charge the whole cents that the answers of today have completed."""
        self._meter(organization_id, self._inference(model, 0, 0, 0))

    def _inference(self, model: str, requests: int, prompt_tokens: int, completion_tokens: int) -> Row:
        microcents = round((prompt_tokens + completion_tokens) * self._price / 1_000 * MICROCENTS)
        charged = microcents if self._credits.billing else 0
        return Row(self._today(), INFERENCE, model, Use(requests, prompt_tokens, completion_tokens, 0, charged))

    def _meter(self, organization_id: str, row: Row) -> None:
        try:
            total, debited = self._store.add(organization_id, row)
            if (due := total // MICROCENTS) > debited:
                self._debit(organization_id, row, due, debited)
        except Exception:
            logger.exception("Tokens of %s by %s were not metered.", row.model, organization_id)

    def training(self, organization_id: str, base_model: str, *, billed_seconds: int, cost: float) -> table.Write:
        """The write that counts an attempt of a job that has ended, to be part of its transaction."""
        return self._attempt(organization_id, TRAINING, base_model, billed_seconds, cost)

    def processing(
        self, organization_id: str, base_model: str, reference: str, *, billed_seconds: int, cost: float, charged: bool
    ) -> list[table.Write]:
        """The writes that count an attempt of a processing that has ended, and charge it, for its transaction.

        There they raise CreditsMoved when somebody else was faster.
        """
        counted = self._attempt(organization_id, PROCESSING, base_model, billed_seconds, cost)
        return [counted, *(self._credits.charge(organization_id, cost, reference) if charged else [])]

    def _attempt(self, organization_id: str, kind: str, model: str, seconds: int, cost: float) -> table.Write:
        use = Use(requests=1, billed_seconds=seconds, microcents=round(cost * 100 * MICROCENTS))
        return self._store.addition(organization_id, Row(self._today(), kind, model, use))

    def summary(self, principal: Principal, *, start: str | None, end: str | None, by: Sequence[str] | None) -> Summary:
        """What was used between two timestamps, by whole UTC days: the last 30 without them.

        The day that `end` falls into counts whole. Raises InvalidRequest.
        """
        last = self._day(end, "end_time", up=True) if end else self._now().date() + _DAY
        first = self._day(start, "start_time") if start else last - min(_DEFAULT_SPAN, last - date.min)
        if not _DAY <= last - first <= MOST_DAYS * _DAY:
            raise InvalidRequest(
                f"From {first} to {last} is no span of 1 to {MOST_DAYS} days.",
                param="start_time" if start else "end_time",
                remedy="Choose an end_time after the start_time, and ask for longer spans year by year.",
            )
        names = tuple(by or ("day",))
        days = first.isoformat(), last.isoformat()
        return Summary(*days, names, grouped(self._store.rows(principal.organization_id, *days), names))

    def _debit(self, organization_id: str, row: Row, due: int, debited: int) -> None:
        note = self._store.debit(organization_id, row, seen=debited, debited=due)
        try:
            self._credits.spend(organization_id, due - debited, f"{row.kind}:{row.model}", [note])
        except table.ConditionFailed:
            # Another request charged these cents; whatever it left is charged with the next answer.
            return

    def _today(self) -> str:
        return clock.iso(self._now())[:10]

    def _day(self, text: str, param: str, *, up: bool = False) -> date:
        """The UTC day of a timestamp (ISO 8601, or Unix seconds as OpenAI's clients send them); `up`: or the next."""
        try:
            moment = (clock.of_epoch(int(text)) if text.isdigit() else clock.parse(text)).astimezone(UTC)
            return moment.date() + _DAY if up and moment.time() > time.min else moment.date()
        except (ValueError, OverflowError, OSError) as error:
            raise InvalidRequest(
                f"{param} is {text!r}, which is no timestamp.", param=param, remedy="Send 2025-02-01T00:00:00Z."
            ) from error


class UsageOfKept(UsageService):
    """For answers that are counted when they are kept, in one transaction, and not when they are given."""

    def meter_inference(self, principal: Principal, model: str, *, prompt_tokens: int, completion_tokens: int) -> None:
        """Nothing: see `UsageService.inference`."""
