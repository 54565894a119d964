"""The broker's Redis for what is not a message: counts and rates that all processes share."""

from urllib.parse import urlsplit

from config.settings import Settings


def redis_url(settings: Settings) -> str | None:
    """The broker as redis-py dials it; None where it is no Redis."""
    url = settings.broker_url.get_secret_value()
    if not urlsplit(url).scheme.startswith("redis"):
        return None
    return url.replace("redis+socket://", "unix://").replace("?virtual_host=", "?db=")
