import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode  # a record holds no circle


class JournalInUseError(Exception):
    """Another sandbox is writing this journal."""


class JournalDamagedError(Exception):
    """A line in the middle of the journal is not a record; a sandbox that was killed does not leave such a line."""


class Journal:
    """One JSON document a line, only ever added to, and written before anybody is told of what it says.

    A tuple is written as its values in their order: that costs half of what the names would, and every refund pays it.
    A line goes to the kernel in one write: it survives ``kill -9`` of the sandbox, but not a machine that loses its
    power, because nobody waits for the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise JournalInUseError(f"Another sandbox is writing {path}.") from None
        self._size = self._drop_torn_line()

    def append(self, record: Record) -> None:
        """Raises OSError, and leaves nothing behind, when the line could not be written whole."""
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
        """Every record, oldest first."""
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield json.loads(line)
                except ValueError:
                    raise JournalDamagedError(f"Line {number} of {self._path} is not a record.") from None

    def close(self) -> None:
        os.close(self._file)

    def _drop_torn_line(self) -> int:
        """A sandbox that dies while it writes leaves half a line, which it had not answered for."""
        size = os.fstat(self._file).st_size
        whole = size
        while whole and os.pread(self._file, 1, whole - 1) != b"\n":
            whole -= 1
        if whole != size:
            os.ftruncate(self._file, whole)
        return whole
