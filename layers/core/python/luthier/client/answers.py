"""What the server answers: pydantic models, read in either spelling, keeping whatever a newer server adds."""

from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, PrivateAttr
from pydantic.alias_generators import to_camel

from luthier.client.errors import ConfigurationError
from luthier.client.names import camel, snake


class Answer(BaseModel):
    """One object. `answer.base_model` and `answer.baseModel` are the same; so are fields that this version lacks."""

    model_config = ConfigDict(extra="allow", defer_build=True, populate_by_name=True, protected_namespaces=())

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("_"):
                for other in (snake(name), camel(name)):
                    if other != name and (other in type(self).model_fields or other in (self.model_extra or {})):
                        return getattr(self, other)
            return super().__getattr__(name)


class CamelAnswer(Answer):
    """An object whose keys are camelCase on the wire."""

    model_config = ConfigDict(alias_generator=to_camel)


class Open(Answer):
    """An object whose fields no schema lists, as a chat completion: everything in it is read by attribute too."""


def opened(value: Any) -> Any:
    """Objects to `Open`, however deep."""
    if isinstance(value, dict):
        return Open.model_construct(**{name: opened(inner) for name, inner in value.items()})
    return [opened(inner) for inner in value] if isinstance(value, list) else value


class Awaited(BaseModel):
    """What goes on by itself after its answer: a job, a deployment, a batch, a file.

    `_home`: the resource of the client that waits for it; `_key`: the fields that hold its ids there.
    """

    _home: ClassVar[str]
    _key: ClassVar[str] = "id"
    _root: Any = PrivateAttr(default=None)

    def attach(self, root: Any) -> None:
        """Let it know the client that it came through."""
        self._root = root

    def __eq__(self, other: object) -> bool:
        # Whichever client it came through.
        return type(self) is type(other) and vars(self) == vars(other) and self.model_extra == other.model_extra

    def wait(self, **options: Any) -> Any:
        """Wait until it has ended, and return it as it is then: `wait` of its resource, whose options these are.

        With `AsyncLuthier` it is awaited.
        """
        if self._root is None:
            raise ConfigurationError(f"This {type(self).__name__} came from no client.", remedy="Get it through one.")
        ids = [getattr(self, name) for name in self._key.split()]
        return attrgetter(self._home)(self._root).wait(*ids, **options)


def attach(value: Any, root: Any) -> None:
    """Let everything in an answer that can be waited for know its client."""
    if isinstance(value, Awaited):
        value.attach(root)
    if isinstance(value, BaseModel):
        for inner in vars(value).values():
            attach(inner, root)
    elif isinstance(value, list):
        for inner in value:
            attach(inner, root)
