"""Writes files so that they still exist after a power failure, for example e-mails in a maildir."""

import os
from pathlib import Path


def write_new_file(path: Path, content: bytes) -> None:
    """Write a new file, and wait until its content is on the disk. Raise FileExistsError if the file already exists."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def move_file(source: Path, target: Path) -> None:
    """Rename a file, and wait until the new name is on the disk. A reader of ``target`` never gets a part of the file."""
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name is on the disk only after this flush of the folder
    finally:
        os.close(folder)
