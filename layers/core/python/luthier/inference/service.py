"""Asking a model: one verb behind every surface's door."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any

from luthier import clock
from luthier.accounts.entity import Principal
from luthier.aliases.entity import Alias
from luthier.aliases.service import AliasService
from luthier.deployments.entity import Deployment
from luthier.deployments.service import DeploymentService
from luthier.errors import InvalidRequest, LuthierError, NotFound, Unavailable
from luthier.inference import chunks
from luthier.inference.entity import Answered, Answerer, Completion, Stream
from luthier.inference.invoke import TOO_LONG, Invoker
from luthier.inference.readiness import SLEEPING, UNREADY, require_active, waking
from luthier.inference.schema import DEFAULTS
from luthier.models import behavior
from luthier.models.store import ModelStore
from luthier.usage.service import UsageService

# Another route of an alias may answer what this one could not even begin with.
_ELSEWHERE = (*UNREADY, SLEEPING, "model_unavailable")
# Of an answer in one piece: API Gateway ends a connection that is silent for five minutes.
WHOLE_SECONDS = 280
# Called with how an answer ended: `failed`.
Note = Callable[..., None]


class InferenceService:
    def __init__(
        self,
        deployments: DeploymentService,
        aliases: AliasService,
        models: ModelStore,
        invoker: Invoker,
        usage: UsageService,
        now: clock.Clock = clock.now,
    ) -> None:
        self._deployments = deployments
        self._aliases = aliases
        self._models = models
        self._invoker = invoker
        self._usage = usage
        self._now = now

    def complete(self, principal: Principal, body: dict[str, Any], *, seconds: float = WHOLE_SECONDS) -> Completion:
        """An OpenAI chat completion from what `body["model"]` names: an alias, a deployment's id, any name of a model.
        With `prompt` instead of `messages`, a text completion.

        It is gathered from a stream, because SageMaker ends an answer that is not streamed after 60 s.
        `body["defaults"]`: parameters that the surface documents for requests which leave them out; those of the
        deployment's configuration come before them. seconds: an answer that takes longer is given up.

        Raises NotFound for an unknown name; Conflict for a model that is not deployed or is paused; Unavailable while
        it comes up, wakes or fails, or takes too long; InsufficientCredits where tokens cost something and no credits
        are left.
        """
        stream = self.stream(principal, body)
        with closing(stream.chunks):
            whole = chunks.gathered(_in_time(stream.chunks, seconds))
        return Completion(whole, stream.by)

    def stream(self, principal: Principal, body: dict[str, Any]) -> Stream:
        """The same in chunks. Raises as `complete`, at once or in between."""
        organization_id, name = principal.organization_id, body["model"]
        if alias := self._aliases.find(organization_id, name):
            return self._through(alias, lambda found, note: self._open(principal, found, body, note))
        return self._open(principal, self._deployments.find(organization_id, name), body, lambda failed: None)

    def ask(self, principal: Principal, body: dict[str, Any]) -> Answered:
        """The same for surfaces that show a text, how long it took and what it cost. Raises as `complete`."""
        started = time.perf_counter()
        answer = self.complete(principal, body)
        return Answered.of(
            answer,
            latency_ms=round(1000 * (time.perf_counter() - started)),
            cost=self._usage.price_of(answer.content.get("usage") or {}),
        )

    def _through(self, alias: Alias, answer: Callable[[Deployment | None, Note], Stream]) -> Stream:
        """From the route that is drawn; from another one where that one cannot answer now."""
        refusals: list[LuthierError] = []
        for route in self._aliases.order(alias):
            note = partial(self._aliases.note, alias, route.deployment_id)
            try:
                return answer(self._of(alias, route.deployment_id), note)
            except Exception as error:
                if _is_its_fault(error):
                    note(failed=True)
                if not isinstance(error, LuthierError) or error.code not in _ELSEWHERE:
                    raise
                refusals.append(error)
        raise refusals[0]

    def _of(self, alias: Alias, deployment_id: str) -> Deployment | None:
        """The deployment of a route; None when it was removed meanwhile."""
        try:
            return self._deployments.find(alias.organization_id, deployment_id)
        except NotFound:
            return None

    def _open(self, principal: Principal, found: Deployment | None, body: dict[str, Any], note: Note) -> Stream:
        deployment, answer = self._asked(principal, found, body)
        stream = Stream(answer, _answerer(deployment))
        stream.chunks = self._metered(stream, answer, principal, body["model"], note)
        return stream

    def _metered(
        self, stream: Stream, answer: Generator[dict[str, Any]], principal: Principal, name: str, note: Note
    ) -> Generator[dict[str, Any]]:
        """The chunks under the name that was asked for. However they end, what was produced is metered."""
        usage: dict[str, Any] = {}
        try:
            for chunk in answer:
                usage = chunk.get("usage") or usage
                if stream.stopped:
                    break
                yield chunk | {"model": name}
            note(failed=False)
        except Exception as error:
            if _is_its_fault(error):
                note(failed=True)
            raise
        finally:
            answer.close()
            if usage:
                self._meter(principal, stream.by.model, usage)

    def _asked(
        self, principal: Principal, found: Deployment | None, body: dict[str, Any]
    ) -> tuple[Deployment, Generator[dict[str, Any]]]:
        name = body["model"]
        deployment = require_active(found, name, self._now())
        self._usage.admit_inference(principal)
        sent = {key: value for key, value in self._behaving(deployment, body).items() if key != DEFAULTS}
        defaults = _defaults(body, deployment.configuration)
        try:
            try:
                return deployment, self._invoker.stream(deployment, defaults | sent)
            except InvalidRequest as error:
                # A limit that nobody asked for is no reason to refuse: as much as there is room for.
                if error.code != TOO_LONG or defaults.pop("max_tokens", None) is None:
                    raise
                return deployment, self._invoker.stream(deployment, defaults | sent)
        except Unavailable as error:
            if error.code != SLEEPING:
                raise
            raise waking(deployment, name, self._now()) from error

    def _behaving(self, deployment: Deployment, body: dict[str, Any]) -> dict[str, Any]:
        """The request behind the behaviour spec of the model, where it has one: one read, none for a base model.

        A text completion is no conversation.
        """
        if deployment.is_of_base or "messages" not in body:
            return body
        model = self._models.get(deployment.organization_id, deployment.target)
        spec = model.metadata.get(behavior.KEY) if model else None
        return body | {"messages": behavior.applied(behavior.compiled(spec), body["messages"])} if spec else body

    def _meter(self, principal: Principal, model: str, tokens: dict[str, Any]) -> None:
        self._usage.meter_inference(
            principal,
            model,
            prompt_tokens=tokens.get("prompt_tokens") or 0,
            completion_tokens=tokens.get("completion_tokens") or 0,
        )


def _answerer(deployment: Deployment) -> Answerer:
    return Answerer(deployment.id, deployment.model_name, deployment.model_version)


def _defaults(body: dict[str, Any], configuration: dict[str, Any]) -> dict[str, Any]:
    """What holds where the request says nothing: the deployment's own defaults, then the door's."""
    defaults = body.get(DEFAULTS, {}) | configuration
    # The newer name of the same limit.
    said = {*body, "max_tokens"} if "max_completion_tokens" in body else set(body)
    return {name: value for name, value in defaults.items() if name not in said}


def _in_time(parts: Iterator[dict[str, Any]], seconds: float) -> Iterator[dict[str, Any]]:
    until = time.monotonic() + seconds
    for part in parts:
        yield part
        if time.monotonic() > until:
            raise Unavailable(
                f"The answer took longer than {seconds:.0f} s.", code="model_failed", remedy="Lower max_tokens."
            )


def _is_its_fault(error: Exception) -> bool:
    """Whether a request failed because of its route: a wrong request says nothing about it, nor does waking it."""
    if not isinstance(error, LuthierError):
        return True
    return error.code in UNREADY or (error.status >= 500 and error.code != SLEEPING)
