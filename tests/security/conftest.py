"""The fixtures of tests/integration, for the tests of security."""

from tests.integration.conftest import context, place, world

__all__ = ["context", "place", "world"]
