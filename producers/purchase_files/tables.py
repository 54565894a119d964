"""Reads CSV files: finds the separator by the header, and yields the cells of each row with the row's line number."""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from domain.errors import UnreadableError
from producers.purchase_files.text_files import TextFile

Cells = dict[str, Any]
Record = tuple[int, Cells | str]
"""A line number, and the cells of the line by column, or a text that says why the line cannot be read."""

_SEPARATORS = ",;\t|"
_SEPARATOR_LINE = re.compile(r"\"?sep=(.)\"?\s*", re.IGNORECASE)  # the first line with which Excel names the separator
_WORDS = {
    "expected after": "A quotation mark inside a quoted cell is not doubled.",
    "unexpected end of data": "A quotation mark is opened and never closed.",
    "field larger than field limit": "A quotation mark is opened and never closed, or a cell is too long.",
}
"""Sentences for the errors of the module csv that are difficult to understand."""


class Table:
    """A CSV file. ``header`` contains the names of the columns, without spaces around the names."""

    def __init__(self, file: TextFile) -> None:
        """Read the header. Raise UnreadableError if the header cannot be read."""
        self._file = file
        with file.lines() as lines:
            named = _SEPARATOR_LINE.fullmatch(lines.readline())
        self._first_line = 2 if named else 1
        self._separator = named[1] if named else max(_SEPARATORS, key=self._count_columns)
        self.header = [name.strip() for _, cells in islice(self._rows(self._separator), 1) for name in cells]

    def records(self) -> Iterator[Record]:
        """Yield each row. The cells that the header does not name are empty, or the row cannot be read."""
        width = len(self.header)
        rows = self._rows(self._separator)
        next(rows, None)
        for line, cells in rows:
            if any(cells):
                is_complete = len(cells) == width
                yield line, dict(zip(self.header, cells, strict=True)) if is_complete else self._fit(cells)

    def _fit(self, cells: Sequence[str]) -> Cells | str:
        """Return the cells by column, if only empty cells are left over. A line with fewer cells may have been cut off."""
        width = len(self.header)
        if len(cells) > width and not any(cells[width:]):
            return dict(zip(self.header, cells, strict=False))
        return (
            f"This line has {len(cells)} cells, but the header has {width}. "
            f"Quote the cells that contain the separator {self._separator!r}, and name each column."
        )

    def _count_columns(self, separator: str) -> int:
        """Return the number of columns that the header has with this separator; 0 if the header is not valid with it."""
        try:
            return next((len(cells) for _, cells in self._rows(separator)), 0)
        except UnreadableError:
            return 0

    def _rows(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the first line number and the cells of each row that is not blank."""
        with self._file.lines() as lines:
            for _ in range(1, self._first_line):
                lines.readline()
            reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
            line = self._first_line
            try:
                for cells in reader:
                    if cells:
                        yield line, cells
                    line = self._first_line + reader.line_num
            except csv.Error as error:
                why = next((words for cause, words in _WORDS.items() if cause in str(error)), f"The cause is: {error}.")
                raise UnreadableError(
                    f"The file {self._file.name} is not valid CSV from line {line} on. {why}"
                ) from None
