"""The fixtures that most tests with real servers share: a web with its sellers, and a worker's tools."""

from tests.integration._provider_fixtures import context
from tests.integration._web_fixtures import place, world

__all__ = ["context", "place", "world"]
