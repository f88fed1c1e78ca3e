import pytest

from luthier.settings import Settings, readers_of_buckets


def test_a_dataset_bucket_is_listed_for_all_or_for_organizations_by_name() -> None:
    assert readers_of_buckets(" shared, acme-data=acme,acme-data = umbrella,") == {
        "shared": {"*"},
        "acme-data": {"acme", "umbrella"},
    }
    assert readers_of_buckets("") == {}


@pytest.mark.parametrize("listed", ["acme-data=", "=acme", "shared, = "])
def test_a_binding_that_names_nobody_opens_nothing(listed: str) -> None:
    with pytest.raises(ValueError, match="NAME=ORGANIZATION"):
        Settings(dataset_buckets=listed)
