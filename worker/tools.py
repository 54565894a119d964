"""What the tasks of one process work with: made at the first use, after the fork."""

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
from worker.providers import connected

Asked = TypeVar("Asked")
Told = TypeVar("Told")

GATHER = (
    0.2  # seconds in which answers are gathered into one commit: a slow call does not hold up the record of quick ones
)


@dataclass(frozen=True, slots=True)
class Tools:
    """Records, providers, letters, and hands to call with."""

    settings: Settings
    records: Records
    links: Links
    post: Post
    providers: Mapping[str, PaymentProvider]
    hands: ThreadPoolExecutor

    def provider(self, name: str) -> PaymentProvider | None:
        """The adapter of this name; None where none is connected."""
        return self.providers.get(name)

    def side_by_side(self, call: Callable[[Asked], Told], asked: Sequence[Asked]) -> Iterator[list[tuple[Asked, Told]]]:
        """Makes these calls side by side, bounded, and yields their answers in waves as they come."""
        under_way: dict[Future[Told], Asked] = {self.hands.submit(call, one): one for one in asked}
        while under_way:
            wait(under_way, return_when=FIRST_COMPLETED)
            done, _ = wait(under_way, timeout=GATHER)
            yield [(under_way.pop(future), future.result()) for future in done]


def tools_of(ours: Settings) -> Tools:
    """Tools for these settings."""
    return Tools(
        settings=ours,
        records=Records.of(ours),
        links=Links.of(ours),
        post=post_of(ours),
        providers=connected(ours),
        hands=ThreadPoolExecutor(ours.calls_side_by_side, thread_name_prefix="call"),
    )


@cache
def tools() -> Tools:
    """The tools of this process."""
    return tools_of(settings())
