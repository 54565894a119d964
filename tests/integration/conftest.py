"""The fixtures that most tests with real servers share: a web server with two sellers, a shop, a worker
context, a desk, and a case with a scripted provider."""

from tests.integration._desk_fixtures import desk
from tests.integration._provider_fixtures import context
from tests.integration._refund_scenarios import start_scenario
from tests.integration._shop_fixtures import running, shop
from tests.integration._web_fixtures import site, web_server

__all__ = ["context", "desk", "running", "shop", "site", "start_scenario", "web_server"]
