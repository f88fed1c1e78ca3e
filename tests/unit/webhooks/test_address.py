"""Where a webhook may go."""

import pytest

from luthier.errors import InvalidRequest
from luthier.webhooks.address import AddressRefused, Destinations, Target

PUBLIC = Destinations()
LOCAL = Destinations("127.0.0.0/8, ::1/128")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com/hook", Target("https", "example.com", 443, "/hook")),
        ("https://under_score.example.com./", Target("https", "under_score.example.com.", 443, "/")),
        ("https://" + "a" * 63 + ".com/", Target("https", "a" * 63 + ".com", 443, "/")),
        ("https://192.0.0.9/", Target("https", "192.0.0.9", 443, "/")),
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("HTTPS://Example.COM:8443/a?b=c", Target("https", "example.com", 8443, "/a?b=c")),
        ("https://[2606:4700::1111]/", Target("https", "2606:4700::1111", 443, "/")),
    ],
)
def test_a_url_is_taken_apart(url: str, target: Target) -> None:
    assert PUBLIC.target(url) == target


def test_the_host_header_names_the_port_only_where_it_is_unusual() -> None:
    assert PUBLIC.target("https://example.com:443/").authority == "example.com"
    assert PUBLIC.target("https://[2606:4700::1111]:8443/").authority == "[2606:4700::1111]:8443"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "example.com/hook",
        "https:///hook",
        "https://user:password@example.com/",
        "https://example.com/#part",
        "https://example.com:99999/",
        "https://example.com/\r\nX-Injected: 1",
        "https://example.com/a b",
        "https://exämple.com/",
        "https://[::1",
        "https://a..b/x",
        "https://.com/",
        "https://example.com../",
        "https://" + "a" * 64 + ".com/",
        "https://" + "a.b." * 64 + "com/",
        "https://%31%32%37.0.0.1/",
        "https://example.com/" + "a" * 2_048,
    ],
)
def test_what_can_never_be_called_is_refused_by_name(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        PUBLIC.target(url, param="webhookUrl")
    assert refused.value.param == "webhookUrl"


PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "192.0.0.8", "192.0.0.170", "192.0.0.255",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused_both_as_literals_and_behind_names(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(AddressRefused):
        PUBLIC.target(f"https://{literal}/")
    named = Destinations(resolve=lambda host, port: ["93.184.216.34", address])
    with pytest.raises(AddressRefused, match="not a public address"):
        named.addresses(named.target("https://innocent.example/"))


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
def test_other_spellings_of_an_address_are_refused_where_they_are_resolved(host: str) -> None:
    with pytest.raises((AddressRefused, OSError)):
        PUBLIC.addresses(PUBLIC.target(f"https://{host}/"))


def test_a_public_name_is_allowed() -> None:
    named = Destinations(resolve=lambda host, port: ["93.184.216.34", "2606:4700::1111"])
    assert named.addresses(named.target("https://example.com/")) == ["93.184.216.34", "2606:4700::1111"]


def test_an_operator_may_open_networks_and_plain_http_reaches_only_those() -> None:
    assert LOCAL.addresses(LOCAL.target("http://127.0.0.1:8000/")) == ["127.0.0.1"]
    with pytest.raises(AddressRefused):
        LOCAL.target("http://93.184.216.34/")
    with pytest.raises(AddressRefused):
        LOCAL.target("https://10.0.0.1/")
