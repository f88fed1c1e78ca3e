"""Ready means proven: recorded prompts are asked again, of the served model and of its base alone, and compared.

The trainer leaves `proof.json` beside a model: up to 32 prompts with the greedy answers of tuned and base model and the
log-probability of each token. `agreement` judges what an endpoint answers to the same prompts.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from luthier.deployments.agreement import Replay, Served, judge
from luthier.deployments.entity import Deployment
from luthier.deployments.probe import Probe
from luthier.errors import InvalidRequest, Unprocessable
from luthier.inference.invoke import Invoker

MOST_PROMPTS, AT_ONCE = 32, 8
FORMAT_VERSION = 1
# No prompt is begun later; one that was begun may take as long as an answer may, and the function some more.
SECONDS = 60.0
_TOP = 5
# An engine may begin with the penalties of the model's own generation_config.json; the record has none.
_GREEDY = {"temperature": 0, "repetition_penalty": 1.0, "logprobs": True, "top_logprobs": _TOP}
_REMEDY = "Deploy again; where that changes nothing, the model's artifact or the serving image is not the one tested."


class Unproven(Exception):
    """There is nothing to prove it by; the message says why."""


class Prover:
    def __init__(
        self,
        s3: Any,
        invoker: Invoker,
        probe: Probe,
        *,
        seconds: float = SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._s3 = s3
        self._invoker = invoker
        self._probe = probe
        self._seconds = seconds
        self._monotonic = monotonic

    def prove(self, deployment: Deployment) -> dict[str, Any]:
        """The numbers of the proof, `verdict` among them: proven, or unproven where the model has no record.

        Raises Unprocessable with the code deployment_failed when the answers do not agree with the record, and
        Unavailable when there are none now.
        """
        try:
            record = self._record(deployment)
        except Unproven as reason:
            return self._probe.prove(deployment) | {"verdict": "unproven", "reason": str(reason)}
        started = self._monotonic()
        replays = self._replays(deployment, record["prompts"][:MOST_PROMPTS], record["max_tokens"])
        verdict = judge(replays)
        skipped = min(len(record["prompts"]), MOST_PROMPTS) - len(replays)
        numbers = verdict.numbers | {"skipped": skipped, "seconds": round(self._monotonic() - started, 1)}
        if verdict.failed:
            raise _failed(f"The model is served otherwise than it was trained. {verdict.failed}", numbers)
        return numbers

    def _record(self, deployment: Deployment) -> dict[str, Any]:
        if deployment.proof_uri is None:
            raise Unproven("The model has no recorded answers.")
        bucket, _, key = deployment.proof_uri.removeprefix("s3://").partition("/")
        try:
            content = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            raise Unproven("The model has no recorded answers.") from None
        return _read(content)

    def _replays(self, deployment: Deployment, prompts: Sequence[dict[str, Any]], max_tokens: int) -> list[Replay]:
        """Those of the prompts that there is time for."""
        until = self._monotonic() + self._seconds

        def replay(prompt: dict[str, Any]) -> Replay | None:
            if self._monotonic() > until:
                return None
            question = {"messages": prompt["messages"], "max_tokens": max_tokens} | _GREEDY
            beside = deployment.adapter_uri is not None and prompt.get("base") is not None
            return Replay(
                tuned=prompt["tuned"],
                base=prompt.get("base"),
                served=self._ask(deployment, deployment.component_name, question),
                served_base=self._ask(deployment, deployment.base_component_name, question) if beside else None,
            )

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [one for one in pool.map(replay, prompts) if one]

    def _ask(self, deployment: Deployment, component: str, question: dict[str, Any]) -> list[Served]:
        try:
            answer = self._invoker.chat_component(deployment.endpoint_name, component, question)
        except InvalidRequest as refused:
            raise _failed(f"The endpoint refuses the questions of the proof: {refused.message}") from refused
        return _served(answer)


def _read(content: bytes) -> dict[str, Any]:
    """The record. Raises Unproven for one that was not made, and for one that cannot be read."""
    try:
        record = json.loads(content)
        if failed := record.get("failed"):
            raise Unproven(f"Its answers were not recorded in training: {record.get('message') or failed}")
        if record["format_version"] != FORMAT_VERSION:
            raise Unproven(f"Its recorded answers have format {record['format_version']}, not {FORMAT_VERSION}.")
        if not any(prompt["tuned"] and prompt["messages"] for prompt in record["prompts"]):
            raise Unproven("Its record holds no answer.")
        return {"prompts": record["prompts"], "max_tokens": int(record["max_tokens"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unproven("Its record of answers cannot be read.") from error


def _served(answer: dict[str, Any]) -> list[Served]:
    """The tokens of a chat completion. Raises Unprocessable when it has no log-probabilities."""
    choices = answer.get("choices")
    logprobs = choices[0].get("logprobs") if choices else None
    if not isinstance(logprobs, dict) or logprobs.get("content") is None:
        raise _failed(
            "The endpoint answers without log-probabilities, so that nobody can tell which model answers.",
            remedy="Use a serving image that returns them for a chat completion with logprobs.",
        )
    return [Served(one["token"], one["logprob"], _likeliest(one)) for one in logprobs["content"]]


def _likeliest(one: dict[str, Any]) -> dict[str, float]:
    # Best first; of several tokens with one text the best counts.
    return {other["token"]: other["logprob"] for other in reversed(one.get("top_logprobs") or [])}


def _failed(message: str, numbers: dict[str, Any] | None = None, remedy: str = _REMEDY) -> Unprocessable:
    return Unprocessable(message, code="deployment_failed", details=numbers, remedy=remedy)
