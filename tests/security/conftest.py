"""The fixtures of tests/integration, for the tests of security."""

from tests.integration.conftest import place, tools, world

__all__ = ["place", "tools", "world"]
