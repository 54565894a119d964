"""Writes files that survive a power failure, for example into a maildir."""

import os
from pathlib import Path


def write_new_file(path: Path, content: bytes) -> None:
    """Write a new file, and return when its content is on the disk. Raise FileExistsError if the file exists."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def move_file(source: Path, target: Path) -> None:
    """Rename a file, and return when its new name is on the disk. A reader sees the whole file or no file."""
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # a rename is on the disk only after its folder was flushed
    finally:
        os.close(folder)
