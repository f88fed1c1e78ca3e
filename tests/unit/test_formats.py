"""The formats of downloads, on both sides."""

from luthier.models.formats import FILES
from trainer import package


def test_the_trainer_packs_the_formats_that_the_api_offers_with_the_same_files() -> None:
    assert {form: tuple(names) for form, names in package.FORMATS.items()} == FILES
