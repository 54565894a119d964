"""Newline-delimited JSON: splits a request body into numbered lines while the body arrives."""

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from producers.web.problems import ProblemCode, ProblemError

NDJSON: Final = "application/x-ndjson"
MAX_LINE_BYTES: Final = 64 * 1024  # the same limit as for the body of a call with one refund request
MAX_LINES: Final = 100_000  # the maximum number of lines in one body


class Line(NamedTuple):
    """A line and its number, counted from one. The text is None if the line is too long."""

    number: int
    text: bytes | None


class LineSplitter:
    """A splitter for a body that arrives in chunks. At most one unfinished line is in memory."""

    def __init__(self) -> None:
        self.count = 0
        self._unfinished = bytearray()
        self._too_long = False

    def feed(self, chunk: bytes) -> list[Line]:
        """Return the lines that this chunk finishes. Blank lines are counted, but not returned."""
        *endings, rest = chunk.split(b"\n")
        lines = []
        for ending in endings:
            self._append(ending)
            lines += self._finish_line()
        self._append(rest)
        return lines

    def close(self) -> list[Line]:
        """Return the last line of the body if it has no line break at its end."""
        return self._finish_line() if self._unfinished or self._too_long else []

    def _finish_line(self) -> list[Line]:
        self.count += 1
        text = None if self._too_long else bytes(self._unfinished)
        self._unfinished.clear()
        self._too_long = False
        return [] if text is not None and not text.strip() else [Line(self.count, text)]

    def _append(self, part: bytes) -> None:
        self._too_long = self._too_long or len(self._unfinished) + len(part) > MAX_LINE_BYTES
        self._unfinished += b"" if self._too_long else part


async def read_batches(body: AsyncIterator[bytes], size: int) -> AsyncIterator[list[Line]]:
    """Yield the lines of a body in batches of at most ``size`` lines, as soon as the lines have arrived.

    A batch does not wait until it is full, so the caller can store it while the next lines arrive. If the body has more than
    MAX_LINES lines, raise ProblemError.
    """
    splitter = LineSplitter()
    async for chunk in body:
        lines = splitter.feed(chunk) if chunk else splitter.close()  # Starlette ends a body with an empty chunk
        allowed = [line for line in lines if line.number <= MAX_LINES]
        for first in range(0, len(allowed), size):
            yield allowed[first : first + size]
        if splitter.count > MAX_LINES:
            raise ProblemError(
                ProblemCode.CONTENT_TOO_LARGE,
                f"A call may have at most {MAX_LINES:,} lines. The lines after line {MAX_LINES:,} were not accepted.",
            )
