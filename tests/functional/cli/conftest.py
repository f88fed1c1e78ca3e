from tests.functional.cli.move_in_world import world
from tests.functional.cli.terminal import terminal
from tests.gateway import api

__all__ = ["api", "terminal", "world"]
