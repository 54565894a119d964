"""The rows of a file as cells by column, whether the file is CSV or JSON."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from producers.purchase_files.dialect import column_key
from producers.purchase_files.json_files import read_objects
from producers.purchase_files.tables import Cells, Record, Table
from producers.purchase_files.text_files import TextFile

Flatten = Callable[[Cells], Cells]

_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")


class Source(Protocol):
    """The rows of a file. They can be read several times."""

    @property
    def header(self) -> Sequence[str]:
        """The names of the columns."""
        ...

    def records(self) -> Iterator[Record]:
        """Yield the line number and the cells of each row. A text says why a row cannot be read."""
        ...


class _JsonSource:
    """The objects of a JSON file. The header contains the fields of the first object, and the wanted fields of all objects."""

    def __init__(self, file: TextFile, flatten: Flatten, wanted: Collection[str]) -> None:
        self._file = file
        self._flatten = flatten
        header: dict[str, None] = {}
        for _, cells in self.records():
            if isinstance(cells, dict):
                header |= dict.fromkeys(name for name in cells if not header or column_key(name) in wanted)
            if header and not wanted:
                break
        self.header = list(header)

    def records(self) -> Iterator[Record]:
        for line, value in read_objects(self._file):
            yield line, value if isinstance(value, str) else self._flatten(value)


def open_source(file: TextFile, flatten: Flatten, wanted: Collection[str]) -> Source:
    """Return the rows of a file. ``flatten`` returns the cells of a JSON object.

    ``wanted`` has the keys of the columns that may be read. Any object of a JSON file may have such a column.
    """
    return _JsonSource(file, flatten, wanted) if is_json(file) else Table(file)


def is_json(file: TextFile) -> bool:
    """Return whether the name of the file or its first character says that it contains JSON."""
    if file.name.lower().endswith(_JSON_SUFFIXES):
        return True
    with file.lines() as lines:
        return lines.read(4_096).lstrip().startswith(("{", "["))


def flatten(value: Cells) -> Cells:
    """Return the texts of an object. A field of an inner object gets the names of both, such as ``billing.email``."""
    cells: Cells = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            cells |= {f"{name}.{key}": text for key, text in flatten(inner).items()}
        elif isinstance(inner, bool):
            cells[name] = "true" if inner else "false"
        elif isinstance(inner, str | int):
            cells[name] = str(inner)
    return cells
