"""Reads JSON files: one object per line (JSON Lines), one array of objects, or a document that contains such an array.

Only one object at a time is in memory.
"""

import json
import re
from collections.abc import Iterator

from domain.errors import UnreadableError
from producers.purchase_files.errors import CellError
from producers.purchase_files.text_files import TextFile

Object = dict[str, object]
JsonRecord = tuple[int, Object | str]
"""A line number, and the object, or a text that says why the line cannot be read."""

_MAX_LENGTH = 1 << 20  # characters; an order with thousands of line items is shorter
_BETWEEN = re.compile(r"[\s,]*")
_MEMBERS = r"(?:\"[^\"]*\"\s*:\s*(?:\"[^\"]*\"|[\w.+-]+|\{[^{}\[\]]*\})\s*,\s*)*"
_ARRAY = re.compile(
    rf"\s*(?:\[|(?:\{{\s*{_MEMBERS}\"(?:data|result|response|orders)\"\s*:\s*)*"
    rf"\{{\s*{_MEMBERS}\"(?:orders|purchases|data|results|records|rows|nodes)\"\s*:\s*\[(?=\s*[{{\]]))",
    re.IGNORECASE,
)
"""The begin of an array of objects, or of a document such as ``{"count": 2, "data": {"orders": [{``."""


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON value")


# A number with decimals stays a text, because a float could change an amount.
_DECODER = json.JSONDecoder(parse_float=str, parse_constant=_refuse_constant)


def read_objects(file: TextFile) -> Iterator[JsonRecord]:
    """Yield the objects of a file. Its begin says whether the file contains an array or has one object per line."""
    with file.lines() as lines:
        begin = _ARRAY.match(lines.read(_MAX_LENGTH))
    return _read_array(file, begin.end()) if begin else _read_lines(file)


def _read_lines(file: TextFile) -> Iterator[JsonRecord]:
    with file.lines() as lines:
        line = 0
        while text := lines.readline(_MAX_LENGTH + 1):
            line += 1
            if len(text) > _MAX_LENGTH:
                raise UnreadableError(
                    f"Line {line} of the file {file.name} is too long. JSON Lines has one purchase per line."
                )
            if text.strip() == "{":
                raise UnreadableError(
                    f"In the file {file.name}, line {line} contains only a part of an object. Write each object on one line, "
                    f"such as with jq -c . {file.name}, or write all objects as an array."
                )
            if not text.isspace():
                yield line, _parse(text)


def read_array(text: str) -> list[object]:
    """Return the JSON array of a cell. Raise CellError if the text is no JSON array."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise CellError(f"This is not valid JSON: {error}.") from None
    if not isinstance(value, list):
        raise CellError("This is not a JSON array, such as [{...}, {...}].")
    return value


def _parse(text: str) -> Object | str:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return f"This line is not valid JSON: {error}."
    return value if isinstance(value, dict) else "This line is not a JSON object with the fields of a purchase."


def _read_array(file: TextFile, position: int) -> Iterator[JsonRecord]:
    """Yield the objects of the array whose first object is after ``position``.

    The line number of an object is the line in which the object starts.
    """
    with file.lines() as lines:
        buffer = lines.read(_MAX_LENGTH)
        line = 1 + buffer.count("\n", 0, position)
        while True:
            start = _BETWEEN.match(buffer, position).end()  # type: ignore[union-attr]  # the pattern also matches nothing
            line += buffer.count("\n", position, start)
            if buffer.startswith("]", start):
                return
            try:
                value, position = _DECODER.raw_decode(buffer, start)
            except (ValueError, RecursionError) as error:
                part = lines.read(_MAX_LENGTH) if len(buffer) - start <= _MAX_LENGTH else ""
                if not part:
                    raise UnreadableError(
                        f"The array in the file {file.name} is not valid JSON from line {line} on: {error}."
                    ) from None
                buffer, position = buffer[start:] + part, 0
                continue
            yield (
                line,
                value if isinstance(value, dict) else "This value is not a JSON object with the fields of an order.",
            )
            line += buffer.count("\n", start, position)
