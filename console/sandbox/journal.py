"""The sandbox's journal: an append-only file that survives a crash of the sandbox."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode  # a record contains no cycle


class JournalInUseError(Exception):
    """Another sandbox has locked this journal."""


class JournalDamagedError(Exception):
    """A line in the middle of the journal is not a record. No crash leaves such a line, so another program changed the file."""


class Journal:
    """A file with one JSON document in each line. For each call, the sandbox first writes a line, and then answers the call.

    A tuple is written as a list of its values, because an object with field names takes twice the time to write.
    A line reaches the kernel in one write, so it survives ``kill -9``. The journal calls no fsync, so a line may be lost at a
    power failure.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise JournalInUseError(f"Another sandbox is writing {path}.") from None
        self._size = self._drop_partial_line()

    def append(self, record: Record) -> None:
        """Append a record. If the disk is full, remove the partial line and raise OSError."""
        line = _encode(record).encode() + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError:
            written = 0
        if written != len(line):
            os.ftruncate(self._file, self._size)
            raise OSError(f"{self._path} could not be written; is the disk full?")
        self._size += written

    def __iter__(self) -> Iterator[Record]:
        """Yield every record, oldest first."""
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield json.loads(line)
                except ValueError:
                    raise JournalDamagedError(f"Line {number} of {self._path} is not a record.") from None

    def close(self) -> None:
        os.close(self._file)

    def _drop_partial_line(self) -> int:
        """Remove the partial last line that a crash can leave, and return the new size.

        The sandbox has not answered the call that caused this line.
        """
        size = os.fstat(self._file).st_size
        end = size
        while end and os.pread(self._file, 1, end - 1) != b"\n":
            end -= 1
        if end != size:
            os.ftruncate(self._file, end)
        return end
