"""Where a client takes its key and its address from, and what it says when it finds none."""

from pathlib import Path

import pytest

from luthier.client import ConfigurationError, Luthier
from luthier.client.configuration import Configuration, find

FILE = """
[default]
api_key = "lk_file"
base_url = "https://file.example.com/"

[staging]
api_key = "lk_staging"
base_url = "https://staging.example.com"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


def write(home: Path, text: str = FILE) -> None:
    (home / ".luthier").mkdir()
    (home / ".luthier" / "config.toml").write_text(text)


def test_arguments_go_before_the_environment_and_that_before_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home)
    assert find() == Configuration("lk_file", "https://file.example.com")
    monkeypatch.setenv("LUTHIER_API_KEY", "lk_environment")
    assert find() == Configuration("lk_environment", "https://file.example.com")
    assert find("lk_argument", "http://127.0.0.1:8080/") == Configuration("lk_argument", "http://127.0.0.1:8080")


def test_a_profile_is_chosen_by_argument_or_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home)
    assert find(profile="staging").api_key == "lk_staging"
    monkeypatch.setenv("LUTHIER_PROFILE", "staging")
    assert find().base_url == "https://staging.example.com"
    with pytest.raises(ConfigurationError, match=r"No profile 'production' .* it has default, staging"):
        find(profile="production")


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [({"base_url": "http://h"}, ["api_key", "LUTHIER_API_KEY"]), ({"api_key": "k"}, ["base_url", "LUTHIER_BASE_URL"])],
)
def test_what_is_missing_is_named_with_every_way_to_give_it(arguments: dict[str, str], missing: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Luthier(**arguments)
    assert refused.value.field == missing[0]
    for word in (*missing, "config.toml"):
        assert word in str(refused.value)


@pytest.mark.parametrize(
    "url", ["api.example.com", "ftp://h", "https://", "https://h/?a=1", "https://h/#a", "http://[", "http://h:port"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        find("k", url)


@pytest.mark.parametrize("key", ["a b", "lk_…", "lk\n"])
def test_a_key_that_no_header_carries_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        find(key, "http://h")
    assert key not in str(refused.value)


@pytest.mark.parametrize("text", ["api_key =", "[default]\napi_key = 1"])
def test_a_file_that_is_none_is_named(home: Path, text: str) -> None:
    write(home, text)
    with pytest.raises(ConfigurationError, match=r"config\.toml"):
        find()


def test_a_key_is_not_shown_where_a_client_is_printed() -> None:
    assert "lk_secret" not in repr(vars(Luthier("lk_secret", "http://h")))
