"""What the tasks of one process work with: made at the first use, after the fork."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from config.links import Links
from config.settings import Settings, settings
from domain.providers import PaymentProvider
from records import Records
from worker.hands import Hands
from worker.letters.post import Post, post_of
from worker.pace import Pace
from worker.providers import connected


@dataclass(frozen=True, slots=True)
class Tools:
    """Records, providers, letters, and hands to call with."""

    settings: Settings
    records: Records
    links: Links
    post: Post
    providers: Mapping[str, PaymentProvider]
    hands: Hands
    pace: Pace
    monotonic: Callable[[], float] = time.monotonic

    def provider(self, name: str) -> PaymentProvider | None:
        """The adapter of this name; None where none is connected."""
        return self.providers.get(name)


def tools_of(ours: Settings) -> Tools:
    """Tools for these settings."""
    return Tools(
        settings=ours,
        records=Records.of(ours),
        links=Links.of(ours),
        post=post_of(ours),
        providers=connected(ours),
        hands=Hands(ours.provider_concurrency),
        pace=Pace.of(ours),
    )


@cache
def tools() -> Tools:
    """The tools of this process."""
    return tools_of(settings())
