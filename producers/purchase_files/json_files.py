"""Reads JSON files: one object per line (JSON Lines), or one array of objects. Only one object at a time is in memory."""

import json
import re
from collections.abc import Iterator

from domain.errors import UnreadableError
from producers.purchase_files.text_files import TextFile

Object = dict[str, object]
JsonRecord = tuple[int, Object | str]
"""A line number, and the object, or a text that says why the line cannot be read."""

_MAX_LENGTH = 1 << 20  # characters; an order with thousands of line items is shorter
_BETWEEN = re.compile(r"[\s,]*")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON value")


# A number with decimals stays a text, because a float could change an amount.
_DECODER = json.JSONDecoder(parse_float=str, parse_constant=_refuse_constant)


def read_objects(file: TextFile) -> Iterator[JsonRecord]:
    """Yield the objects of a file. The first character says whether the file is an array or has one object per line."""
    with file.lines() as lines:
        first = lines.read(1)
        while first.isspace():
            first = lines.read(1)
    return _read_array(file) if first == "[" else _read_lines(file)


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
                    "or write all objects as an array."
                )
            if not text.isspace():
                yield line, _parse(text)


def _parse(text: str) -> Object | str:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return f"This line is not valid JSON: {error}."
    return value if isinstance(value, dict) else "This line is not a JSON object with the fields of a purchase."


def _read_array(file: TextFile) -> Iterator[JsonRecord]:
    """Yield the objects of an array. The line number of an object is the line in which the object starts."""
    with file.lines() as lines:
        buffer, line = lines.read(_MAX_LENGTH), 1
        position = buffer.index("[") + 1
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
