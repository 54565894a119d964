"""The fixtures of tests/integration, for the tests of security."""

from tests.integration.conftest import place, world

__all__ = ["place", "context", "world"]
