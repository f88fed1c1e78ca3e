"""Which key and which address: arguments before environment before the file ~/.luthier/config.toml.

    [default]
    api_key = "lk_…"
    base_url = "https://api.example.com"

    [staging]
    …

`profile` (or LUTHIER_PROFILE) names another table than `default`.
"""

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from luthier.client.errors import ConfigurationError

FILE = Path(".luthier") / "config.toml"


@dataclass(frozen=True)
class Configuration:
    """`base_url` without a slash at its end."""

    api_key: str = field(repr=False)
    base_url: str


def find(api_key: str | None = None, base_url: str | None = None, profile: str | None = None) -> Configuration:
    """Raises ConfigurationError that names what is missing, or wrong in the file."""
    chosen = profile or os.environ.get("LUTHIER_PROFILE")
    saved = _Lazy(chosen or "default", named=chosen is not None)
    key = api_key or os.environ.get("LUTHIER_API_KEY") or saved.get("api_key")
    url = base_url or os.environ.get("LUTHIER_BASE_URL") or saved.get("base_url")
    if not key:
        raise _missing("API key", "api_key", "LUTHIER_API_KEY")
    if not url:
        raise _missing("address", "base_url", "LUTHIER_BASE_URL")
    return Configuration(_printable(key), _address(url))


class _Lazy:
    """A profile of the file, which is read only when arguments and environment leave something open."""

    def __init__(self, profile: str, *, named: bool) -> None:
        self._profile, self._named = profile, named

    def get(self, name: str) -> str | None:
        value = self._table().get(name)
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"{name} of [{self._profile}] in {_path()} must be a text.", field=name)
        return value

    def _table(self) -> dict[str, Any]:
        try:
            tables = tomllib.loads(_path().read_text())
        except FileNotFoundError:
            tables = {}
        except (OSError, ValueError) as fault:
            raise ConfigurationError(f"{_path()} cannot be read: {fault}.", remedy="Correct or remove it.") from fault
        table = tables.get(self._profile, {})
        if self._named and self._profile not in tables:
            known = ", ".join(tables) or "none"
            raise ConfigurationError(
                f"No profile {self._profile!r} in {_path()}; it has {known}.",
                field="profile",
                remedy=f"Add a table [{self._profile}].",
            )
        return table if isinstance(table, dict) else {}


def _path() -> Path:
    return Path.home() / FILE


def _missing(what: str, name: str, variable: str) -> ConfigurationError:
    return ConfigurationError(
        f"No {what} of Luthier is known.",
        field=name,
        remedy=f"Set {variable}, write {name} into {_path()}, or pass {name}=… to the client.",
    )


def _printable(key: str) -> str:
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(
            "The API key holds characters that no key has.", field="api_key", remedy="Copy it once more."
        )
    return key


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment:
        raise ConfigurationError(
            f"base_url is {url!r}; it must be an http:// or https:// address.",
            field="base_url",
            remedy="Give what comes before /v1, as https://api.example.com.",
        )
    return url.rstrip("/")
