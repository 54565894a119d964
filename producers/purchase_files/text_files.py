"""Opens files as text: recognises the encoding, and refuses files that are not text."""

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path

from domain.errors import UnreadableError

_CHUNK = 1 << 20  # bytes; so that a large file needs little memory

_SIGNATURES = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive. Save the table as CSV, or extract the archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook. Save the table as CSV",
    b"\x1f\x8b": "compressed with gzip. Decompress the file",
    b"BZh": "compressed with bzip2. Decompress the file",
    b"\xfd7zXZ": "compressed with xz. Decompress the file",
    b"\x28\xb5\x2f\xfd": "compressed with zstd. Decompress the file",
    b"7z\xbc\xaf": "a 7z archive. Extract the archive",
    b"Rar!": "a RAR archive. Extract the archive",
    b"%PDF": "a PDF document. Export the data as CSV",
    b"SQLite format 3": "an SQLite database. Export the data as CSV",
    b"<": "an HTML page or an XML document. Export the data as CSV",
}
"""What a file is, by its first bytes, and what to do: the end of a sentence."""

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, because its mark begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

_VALID_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_NOT_WINDOWS_1252 = re.compile(
    rb"[\x00-\x08\x0e-\x1f\x7f\x81\x8d\x8f\x90\x9d]"  # control characters, and bytes that Windows-1252 does not define
    rb"|[\x80-\xff]{4}"  # no word of a western language has four such letters in a row, but words in other scripts have
    rb"|[A-Za-z\xc0-\xff][\xa3\xa5\xaa\xaf\xb3\xb9\xbc\xbe\xbf][a-z\xe0-\xff]"  # in words: letters of Windows-1250
    rb"|[A-Za-z][\x82-\x84\x87\x8a\x8c\x8e\x94\x9f][a-z]"  # in words: letters of Mac OS Roman and of MS-DOS
)

_NOT_ASCII = re.compile(rb"[\x80-\xff]")

_UNKNOWN_ENCODING = "Save the file as UTF-8. UTF-16 with a byte order mark and Windows-1252 are understood, too."


class TextFile:
    """A file of text. It can be read several times, from its start."""

    def __init__(self, path: Path) -> None:
        """Check the whole file: its first bytes and its encoding. Raise UnreadableError if the file is not text."""
        self.path = path
        self.name = path.name
        if not path.is_file():
            raise UnreadableError(f"{path.name} is not a file. Name one file with purchases.")
        self.size = path.stat().st_size
        self.encoding = _find_encoding(path)
        self._bytes: io.BufferedReader | None = None

    def lines(self) -> io.TextIOWrapper:
        """Return the opened file. Line breaks are kept, as the module csv needs."""
        self._bytes = self.path.open("rb")
        return io.TextIOWrapper(self._bytes, encoding=self.encoding, newline="")

    @property
    def position(self) -> int:
        """The number of bytes that were read since the file was last opened."""
        return self.size if self._bytes is None or self._bytes.closed else self._bytes.tell()


def _find_encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4_096)
    if not head.strip():
        raise UnreadableError(f"The file {path.name} is empty.")
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature):
            raise UnreadableError(f"The file {path.name} is {what}, and import the result.")
    encoding = _marked_encoding(head) or "utf-8"
    fault = _find_fault(path, encoding)
    if fault is None:
        return encoding
    if encoding == "utf-8" and _is_windows_1252(path):
        return "cp1252"
    raise UnreadableError(
        f"Line {_line_of(path, fault, encoding)} of the file {path.name} is not valid text in {_WORDS[encoding]}. "
        f"{_UNKNOWN_ENCODING}"
    )


_WORDS = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "utf-16": "UTF-16", "utf-32": "UTF-32"}
_WORDS |= {"utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}


def _marked_encoding(head: bytes) -> str | None:
    """Return the encoding that the byte order mark names. Without a mark, recognise UTF-16 by the zero bytes of ASCII letters."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    even, odd = head[0::2], head[1::2]
    if odd.count(0) > len(odd) // 2 and not even.count(0):
        return "utf-16-le"
    if even.count(0) > len(even) // 2 and not odd.count(0):
        return "utf-16-be"
    return None


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
    yield b""


def _find_fault(path: Path, encoding: str) -> int | None:
    """Return the number of characters before the first invalid byte or NUL character, or None if the file is valid."""
    decoder = codecs.getincrementaldecoder(encoding)()
    characters = 0
    for chunk in _chunks(path):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return characters + len(error.object[: error.start].decode(encoding, "ignore"))
        if "\0" in text:
            return characters + text.index("\0")
        characters += len(text)
    return None


def _line_of(path: Path, characters: int, encoding: str) -> int:
    """Return the number of the line that contains the character after the first ``characters`` characters."""
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        line = 1
        while part := file.read(min(characters, _CHUNK)):
            line += part.count("\n")
            characters -= len(part)
    return line


def _is_windows_1252(path: Path) -> bool:
    """Return whether a file that is not valid UTF-8 is plausible as Windows-1252.

    A file with more valid than invalid sequences of UTF-8 is a damaged UTF-8 file.
    """
    valid = invalid = 0
    with path.open("rb") as file:
        for line in file:  # no character of these encodings contains a line break
            if _NOT_WINDOWS_1252.search(line):
                return False
            valid += len(_VALID_UTF8.findall(line))
            invalid += len(_NOT_ASCII.findall(_VALID_UTF8.sub(b"", line)))
    return invalid > valid
