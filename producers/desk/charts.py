"""Bar charts that the server draws: horizontal bars of an SVG, without styles and scripts. A table shows the same numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from unicodedata import east_asian_width

MAX_BARS = 24
"""The maximum number of bars of a chart. Nobody compares more bars, and the table shows all rows."""
MAX_LABEL = 46  # columns; a longer label would not fit beside the bar
WIDTH, LABEL_WIDTH, VALUE_WIDTH, BAR_HEIGHT = 900, 380, 120, 26  # units of the SVG


@dataclass(frozen=True, slots=True)
class Value:
    """A number to draw: what it is about, the number, and the number as people read it.

    Only numbers with the same unit can be compared. So each unit, such as a currency, has its own longest bar.
    """

    label: str
    number: Decimal | int
    text: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart, with its place in the SVG."""

    label: str
    text: str
    top: int
    width: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its bars, and the number of values that it does not show."""

    bars: Sequence[Bar]
    hidden: int

    @property
    def height(self) -> int:
        """The height of the SVG."""
        return len(self.bars) * BAR_HEIGHT


def draw(values: Sequence[Value]) -> Chart:
    """Return the chart of the first values. The longest bar of each unit has the full width, and zero has no bar."""
    shown = values[:MAX_BARS]
    longest = {unit: max(value.number for value in shown if value.unit == unit) for unit in {v.unit for v in shown}}
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    bars = [
        Bar(
            label=_shorten(value.label),
            text=value.text,
            top=position * BAR_HEIGHT,
            width=round(room * max(value.number, 0) / longest[value.unit]) if longest[value.unit] > 0 else 0,
        )
        for position, value in enumerate(shown)
    ]
    return Chart(bars, len(values) - len(shown))


def _shorten(label: str) -> str:
    """Return the label, cut to MAX_LABEL columns. A wide character, such as a Japanese one, takes two columns."""
    ends = list(accumulate(2 if east_asian_width(char) in "WF" else 1 for char in label))
    if not ends or ends[-1] <= MAX_LABEL:
        return label
    return f"{label[: sum(end < MAX_LABEL for end in ends)].rstrip()}…"
