"""Where a request to a customer's URL may go: HTTPS to public addresses, and nowhere else.

A name is resolved once, every address that it has must be allowed, and the connection goes to one of exactly these.
Nobody resolves it a second time, so a name that changes its mind between check and connect changes nothing.
"""

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from luthier.errors import InvalidRequest

LONGEST_URL = 2_048
_KNOWN = 1_000
_PORTS = {"https": 443, "http": 80}
# IPv4 addresses in an IPv6 coat that routers take off (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# IETF protocol assignments, of which IANA's registry calls two reachable from everywhere.
_ASSIGNED = ipaddress.IPv4Network("192.0.0.0/24")
_REACHABLE = (ipaddress.IPv4Address("192.0.0.9"), ipaddress.IPv4Address("192.0.0.10"))
# RFC 1035, with the underscore that some names have. The resolver raises for labels that are empty or longer.
_LABEL, _LONGEST_NAME = re.compile(r"[a-z0-9_-]{1,63}"), 253

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Origin = tuple[str, str, int]
# (host, port) → addresses, as texts. Blocks; raises OSError when there is none.
Resolve = Callable[[str, int], list[str]]


class AddressRefused(InvalidRequest):
    """The URL leads to an address that is not public."""

    default_code = "address_refused"


@dataclass(frozen=True)
class Target:
    """A URL in the parts that a connection needs; `path` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> Origin:
        """What a connection belongs to."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the operating system finds them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Destinations:
    """Says what may be reached.

    private_networks: comma-separated networks that may be reached although they are not public, over plain HTTP too.
    """

    def __init__(self, private_networks: str = "", resolve: Resolve = resolve) -> None:
        self._private = [ipaddress.ip_network(text.strip()) for text in private_networks.split(",") if text.strip()]
        self._resolve = resolve
        # A receiver's URL is the same from delivery to delivery, and what is refused never gets here.
        self._known: dict[str, Target] = {}

    def target(self, url: str, *, param: str = "url") -> Target:
        """The parts of a URL. Raises InvalidRequest for one that could never be reached; asks no name server."""
        if url not in self._known:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[url] = self._read(url, param)
        return self._known[url]

    def _read(self, url: str, param: str) -> Target:
        if len(url) > LONGEST_URL:
            raise InvalidRequest(f"{param} is longer than {LONGEST_URL:,} characters.", param=param)
        # Before anything else parses it: urlsplit drops line breaks, and a header would not.
        if not url.isascii() or not url.isprintable() or " " in url:
            raise _malformed(param, "it may hold printable ASCII characters only", "Percent-encode the others.")
        try:
            parts = urlsplit(url)
            target = Target(parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0), _path(parts))
        except ValueError as fault:
            raise _malformed(param, str(fault), "Send a URL such as https://example.com/hook.") from None
        self._check(parts, target, param)
        return target

    def addresses(self, target: Target) -> list[str]:
        """Where a connection may go. Blocks; raises OSError for an unknown name and AddressRefused."""
        found = self._resolve(target.host, target.port)
        for address in found:
            self.require(target, address)
        return found

    def require(self, target: Target, address: str) -> None:
        """Raise AddressRefused unless a connection for `target` may go to this address."""
        number = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
        private = any(number in network for network in self._private)
        if not private and (target.scheme == "http" or not _is_public(number)):
            raise AddressRefused(
                f"{target.host} leads to {address}, which is not a public address.",
                remedy="Use a URL that is reachable from the internet.",
            )

    def _check(self, parts: SplitResult, target: Target, param: str) -> None:
        if target.scheme != "https" and not (target.scheme == "http" and self._private):
            raise _malformed(param, f"its scheme is {target.scheme or 'missing'!r}", "Use https://.")
        if not target.host:
            raise _malformed(param, "it names no host", "Send a URL such as https://example.com/hook.")
        if parts.username or parts.password or parts.fragment:
            raise _malformed(param, "it holds a user, a password or a fragment", "Leave them out.")
        if _is_address(target.host):
            try:
                self.require(target, target.host)
            except AddressRefused as refused:
                refused.param = param
                raise
        elif not _is_name(target.host):
            raise _malformed(
                param,
                f"{target.host!r} is no host name",
                "Its parts between dots have 1 to 63 letters, digits and hyphens each, 253 characters together.",
            )


def origin_of(url: str) -> str:
    """A URL as others may see it: without path and query, which often hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    name = host.removesuffix(".")
    return len(name) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))


def _is_public(number: IpAddress) -> bool:
    if number in _ASSIGNED:
        return number in _REACHABLE
    return number.is_global and not (number.is_multicast or number.is_reserved or number.is_unspecified)


def _unwrapped(number: Any) -> IpAddress:
    """The IPv4 address that an IPv6 address carries, where a router may take it out; else the address itself."""
    if number.version == 4:
        return number
    carried = number.ipv4_mapped or number.sixtofour or (number.teredo or (None, None))[1]
    if carried is None and number in _NAT64:
        carried = ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
    return carried or number


def _malformed(param: str, why: str, remedy: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param} is no URL that can be called: {why.rstrip('.')}.", code="invalid_url", param=param, remedy=remedy
    )
