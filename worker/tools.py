"""What the tasks of one process work with: made at the first use, after the fork."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from config.links import Links
from config.settings import Settings, settings
from domain.providers import PaymentProvider
from records import Records
from worker.letters.post import Post, post_of
from worker.pace import Pace
from worker.providers import connected

Asked = TypeVar("Asked")
Told = TypeVar("Told")

GATHER = (
    0.2  # seconds in which answers are gathered into one commit: a slow call does not hold up the record of quick ones
)


class Hands:
    """Threads that make calls side by side, bounded."""

    def __init__(self, number: int) -> None:
        self._threads = ThreadPoolExecutor(number, thread_name_prefix="call")

    def close(self) -> None:
        """Lets go of them, once what they do is done."""
        self._threads.shutdown()

    def side_by_side(self, call: Callable[[Asked], Told], asked: Sequence[Asked]) -> Iterator[list[tuple[Asked, Told]]]:
        """Makes these calls, and yields their answers in waves as they come."""
        under_way: dict[Future[Told], Asked] = {self._threads.submit(call, one): one for one in asked}
        while under_way:
            wait(under_way, return_when=FIRST_COMPLETED)
            done, _ = wait(under_way, timeout=GATHER)
            yield [(under_way.pop(future), future.result()) for future in done]


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
        hands=Hands(ours.calls_side_by_side),
        pace=Pace.of(ours),
    )


@cache
def tools() -> Tools:
    """The tools of this process."""
    return tools_of(settings())
