"""Newline-delimited JSON: splits a request body into numbered lines while the body arrives."""

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from producers.web.problems import ProblemCode, ProblemError

NDJSON: Final = "application/x-ndjson"
MAX_LINE_BYTES: Final = 64 * 1024  # the limit of the body of a single request (middleware.MAX_BODY_BYTES)
MAX_LINES: Final = 100_000  # of one body


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
        """Return the last line if it has no line break."""
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
    """Yield the lines that have arrived, at most ``size`` at once. Continue to read after each batch.

    A batch is yielded before it is full if no more lines have arrived. The caller stores the batch while the next lines arrive.
    A body with more than MAX_LINES lines raises a ProblemError.
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
                f"A call may have at most {MAX_LINES:,} lines. The other lines were not read.",
            )
