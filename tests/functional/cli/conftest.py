from tests.gateway import api

__all__ = ["api"]
