"""Resources declared once, for both clients: a method is a signature with the route it stands for.

    @call("POST", "/v2/training/models/{model_id}/deploy", answer="deployment", camel="gpuType")
    def deploy(self, model_id: str, *, gpu_type: str = OMIT) -> DeploymentObject: ...

`client.training.models.deploy` returns a DeploymentObject on a `Luthier`, and has to be awaited on an `AsyncLuthier`;
type checkers know both. What is not passed is not sent.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from luthier.client.answers import Open, attach, opened
from luthier.client.core import Core, Mode
from luthier.client.errors import InvalidRequest, UnexpectedAnswer
from luthier.client.flows import Async, Flow, Sync
from luthier.client.names import camel as camelled
from luthier.client.paging import AsyncPage, Chunk, Page, following, total

P = ParamSpec("P")
T = TypeVar("T")
# The default of what is not sent.
OMIT: Any = None


def _named(function: Any, told: Any) -> Any:
    """Let `help` show what the declaration says."""
    return functools.update_wrapper(function, told, updated=())


class Resource(Generic[Mode]):
    """Part of a client, as `client.training.models`."""

    def __init__(self, core: Core[Mode]) -> None:
        self._core: Core[Mode] = core

    def _flow(self, name: str, *args: Any, **kwargs: Any) -> Flow[Any]:
        """A method of this resource, as a part of a flow."""
        method: Method[Any, Any] = getattr(type(self), name)
        return method.flow(self, *args, **kwargs)

    def _read(self, name: str, value: Any) -> Any:
        """An answer in the type that a method of this resource returns."""
        route: _Route = getattr(type(self), name).route
        return route.read(value, self._core)


class Method(Generic[P, T]):
    """A flow that a `Luthier` runs and an `AsyncLuthier` awaits."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]], route: "_Route | None" = None) -> None:
        self.flow, self.route = flow, route
        _named(self, route.told if route else flow)

    @overload
    def __get__(self, instance: None, owner: Any) -> "Method[P, T]": ...
    @overload
    def __get__(self, instance: Resource[Sync], owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Resource[Async], owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self

        def run(*args: Any, **kwargs: Any) -> Any:
            return instance._core.mode.run(self.flow(instance, *args, **kwargs))

        return _named(run, self)


def flow(function: Callable[Concatenate[Any, P], Flow[T]]) -> Method[P, T]:
    """A method whose steps are written out."""
    return Method(function)


class Listing(Generic[P, T]):
    """A route that answers rows: a page on a `Luthier`, an asynchronous one on an `AsyncLuthier`."""

    def __init__(self, route: "_Route", rows: str, told: Callable[..., Any]) -> None:
        self._route, self._rows = route, rows
        _named(self, told)

    @overload
    def __get__(self, instance: None, owner: Any) -> "Listing[P, T]": ...
    @overload
    def __get__(self, instance: Resource[Sync], owner: Any) -> Callable[P, Page[T]]: ...
    @overload
    def __get__(self, instance: Resource[Async], owner: Any) -> Callable[P, AsyncPage[T]]: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self

        def fetch(path: str, given: dict[str, Any]) -> Flow[Chunk[T]]:
            response = yield from instance._core.request("GET", path, params=given)
            body = body_of(response)
            return self._chunk(instance._core, given, body)

        def pages(*args: Any, **kwargs: Any) -> Any:
            path, given, _ = self._route.filled(instance, args, kwargs)
            kind = Page if isinstance(instance._core.mode, Sync) else AsyncPage
            return kind(instance._core.mode, functools.partial(fetch, path), given)

        return _named(pages, self)

    def _chunk(self, core: Core[Any], given: dict[str, Any], body: dict[str, Any]) -> Chunk[T]:
        rows = body.get(self._rows) or []
        read = [self._route.read(row, core) for row in rows]
        return Chunk(read, following(given, body, rows), total(body.get("pagination") or body))


class _DeclaresMethod(Protocol):
    def __call__(self, function: Callable[Concatenate[Any, P], T], /) -> Method[P, T]: ...


class _DeclaresListing(Protocol):
    def __call__(self, function: Callable[Concatenate[Any, P], T], /) -> Listing[P, T]: ...


def call(method: str, path: str, *, camel: str = "", query: bool = False, answer: str = "") -> _DeclaresMethod:
    """Declares a method by its signature.

    camel: the wire's camelCase names of fields, dotted where nested, `*` for every key of an object;
    query: fields are parameters of the address (always so for GET and DELETE); answer: the key that wraps the answer.
    """

    def declare(function: Callable[Concatenate[Any, P], T]) -> Method[P, T]:
        route = _Route(method, path, function, camel, answer)
        in_query = query or method in ("GET", "DELETE")

        def steps(self: Any, *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
            filled, fields, key = route.filled(self, args, kwargs)
            stream = bool(fields.get("stream"))
            sent: dict[str, Any] = {"params": fields} if in_query else {"body": {"json": fields}}
            response = yield from self._core.request(method, filled, idempotency_key=key, stream=stream, **sent)
            if stream:
                parts: T = self._core.mode.stream(response)
                return parts
            read: T = route.answered(response, self._core)
            return read

        return Method(steps, route)

    return declare


def listing(path: str, rows: str, *, camel: str = "") -> _DeclaresListing:
    """Declares a list by the signature of its parameters, which returns one row; `rows`: the key that holds them."""

    def declare(function: Callable[Concatenate[Any, P], T]) -> Listing[P, T]:
        return Listing(_Route("GET", path, function, camel, ""), rows, function)

    return declare


class _Route:
    def __init__(self, method: str, path: str, told: Callable[..., Any], camel: str, answer: str) -> None:
        self.method, self.path, self.told, self.answer = method, path, told, answer
        self.camel = frozenset(camel.split())

    @functools.cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.told)

    @functools.cached_property
    def _adapter(self) -> TypeAdapter[Any] | None:
        kind = typing.get_type_hints(self.told)["return"]
        return None if kind in (Any, Open, bytes, type(None)) else TypeAdapter(kind)

    def filled(self, resource: Any, args: Any, kwargs: Any) -> tuple[str, dict[str, Any], str | None]:
        """The path, the fields and the idempotency key of a call."""
        _, *given = self._signature.bind(resource, *args, **kwargs).arguments.items()
        fields = dict(given)
        key = fields.pop("idempotency_key", None)
        path = self.path
        for name in list(fields):
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", quote(_segment(name, fields.pop(name)), safe=""))
        return path, self._on_the_wire(fields), key

    def _on_the_wire(self, value: Any, place: str = "") -> Any:
        if isinstance(value, dict):
            return {
                self._wire_name(name, place): self._on_the_wire(inner, f"{place}{self._wire_name(name, place)}.")
                for name, inner in value.items()
            }
        return [self._on_the_wire(inner, place) for inner in value] if isinstance(value, list | tuple) else value

    def _wire_name(self, name: str, place: str) -> str:
        wire = camelled(name)
        if f"{place}{wire}" in self.camel or f"{place}*" in self.camel:
            return wire
        return name if place else name.removesuffix("_")

    def answered(self, response: httpx.Response, core: Core[Any]) -> Any:
        kind = typing.get_type_hints(self.told)["return"]
        if kind is bytes:
            return response.content
        if kind is type(None):
            return None
        body = body_of(response)
        return self.read(body.get(self.answer) if self.answer else body, core)

    def read(self, value: Any, core: Core[Any]) -> Any:
        if self._adapter is None:
            return opened(value)
        try:
            read = self._adapter.validate_python(value)
        except ValidationError as fault:
            raise UnexpectedAnswer(
                f"{self.method} {self.path} answered what this version does not know: {fault}.",
                remedy="Update the package luthier.",
            ) from fault
        attach(read, core.root)
        return read


def _segment(name: str, value: Any) -> str:
    # Two dots would lead to another route.
    if not isinstance(value, str) or value in ("", ".", ".."):
        raise InvalidRequest(f"{name} is {value!r}; it must be an id or a name.", field=name, remedy="Pass a text.")
    return value


def body_of(response: httpx.Response) -> Any:
    """The JSON of an answer. Raises UnexpectedAnswer."""
    try:
        return response.json()
    except ValueError as fault:
        raise UnexpectedAnswer(
            f"{response.request.url.host} answered no JSON.", remedy="Check base_url.", status=response.status_code
        ) from fault
