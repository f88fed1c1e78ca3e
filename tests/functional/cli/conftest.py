from tests.functional.cli.move_in_world import world
from tests.gateway import api

__all__ = ["api", "world"]
