from tests.functional.aliases.world import world
from tests.gateway import api

__all__ = ["api", "world"]
