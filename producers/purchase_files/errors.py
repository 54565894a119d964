"""The errors of one cell. Another fault of the whole file is an ``UnreadableError``."""


class CellError(ValueError):
    """A cell that cannot be read. The message is a sentence, and only the row of the cell is refused."""


class AmbiguousCellError(CellError):
    """A cell with several meanings, in a file in which no other cell shows the meaning. The whole file is refused."""
