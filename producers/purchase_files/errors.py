"""The error of one cell. A fault of the whole file is an ``UnreadableError``."""


class CellError(ValueError):
    """A cell that cannot be read. The message is a sentence, and only the row of the cell is refused."""
