"""A body of many lines, as it comes: cut into lines that are counted and never longer than a request may be."""

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from producers.web.problems import Kind, ProblemError

LONGEST: Final = 64 * 1024  # bytes: what a request alone may have (guard.LARGEST_BODY)
MOST: Final = 100_000  # lines of one body


class Line(NamedTuple):
    """A line, and which one it is, from one on. Of one that is too long nothing is kept."""

    number: int
    text: bytes | None


class Lines:
    """The lines of a body that comes in pieces; never more than one that has not ended is held."""

    def __init__(self) -> None:
        self.count = 0
        self._rest = bytearray()
        self._too_long = False

    def feed(self, piece: bytes) -> list[Line]:
        """The lines that this piece ends; blank ones are counted and left out."""
        *ends, rest = piece.split(b"\n")
        found = []
        for end in ends:
            self._add(end)
            found += self._end()
        self._add(rest)
        return found

    def close(self) -> list[Line]:
        """The last line, if nothing ended it."""
        return self._end() if self._rest or self._too_long else []

    def _end(self) -> list[Line]:
        self.count += 1
        text = None if self._too_long else bytes(self._rest)
        self._rest.clear()
        self._too_long = False
        return [] if text is not None and not text.strip() else [Line(self.count, text)]

    def _add(self, part: bytes) -> None:
        self._too_long = self._too_long or len(self._rest) + len(part) > LONGEST
        self._rest += b"" if self._too_long else part


async def batches(body: AsyncIterator[bytes], size: int) -> AsyncIterator[list[Line]]:
    """The lines that have come by now, at most ``size`` at once; no more is read until these are done with.

    Nothing waits for a batch to fill: while one is being kept, the next lines gather in front of the door. A body of
    more lines than MOST is a ProblemError after those.
    """
    lines = Lines()
    async for piece in body:
        found = lines.feed(piece) if piece else lines.close()  # the last piece is empty, as Starlette reads
        within = [line for line in found if line.number <= MOST]
        for first in range(0, len(within), size):
            yield within[first : first + size]
        if lines.count > MOST:
            raise ProblemError(Kind.TOO_LARGE, f"{MOST:,} lines are the most in one call. The others were not read.")
