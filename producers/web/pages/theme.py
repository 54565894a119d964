"""A seller's colour, as a stylesheet in which everything can still be read, by day and by night."""

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

ENOUGH = 4.5  # to 1: WCAG 2.2, 1.4.3, for text of any size
_STEP = 0.04  # of the way to black or white; finer steps are not seen
_DEEPER = 0.25


class Colour(NamedTuple):
    """Red, green and blue, each 0 to 255."""

    red: int
    green: int
    blue: int

    @classmethod
    def read(cls, text: str) -> "Colour":
        """A colour written as ``#1a2b3c``; a ValueError for any other text."""
        digits = text.removeprefix("#")
        if len(text) != len(digits) + 1 or len(digits) != 6 or not set(digits.lower()) <= set("0123456789abcdef"):  # noqa: PLR2004
            raise ValueError("A colour is written as six hexadecimal digits after a #, such as #1a5fb4.")
        return cls(*bytes.fromhex(digits))

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"

    def towards(self, other: "Colour", part: float) -> "Colour":
        """This much of the way to another colour."""
        return Colour(*(round(mine + (its - mine) * part) for mine, its in zip(self, other, strict=True)))

    @property
    def luminance(self) -> float:
        """WCAG's relative luminance, 0 to 1."""
        linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in self))  # noqa: PLR2004
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def against(self, other: "Colour") -> float:
        """WCAG's contrast ratio, 1 to 21."""
        brighter, darker = sorted((self.luminance, other.luminance), reverse=True)
        return (brighter + 0.05) / (darker + 0.05)


class Theme(NamedTuple):
    """What text stands on in moneyback.css, where its colours lead to be read better, and how much of one tints a card."""

    ground: Colour
    sheet: Colour
    away: Colour
    on_accent: Colour
    tinted: float


_BLACK, _WHITE = Colour(0, 0, 0), Colour(255, 255, 255)
LIGHT = Theme(Colour.read("#f6f7f5"), _WHITE, _BLACK, _WHITE, 0.1)
DARK = Theme(Colour.read("#141a18"), Colour.read("#1d2523"), _WHITE, Colour.read("#0b1110"), 0.12)


def stylesheet(colour: Colour) -> str:
    """The seller's colours in place of ours."""
    day, night = _block(colour, LIGHT), _block(colour, DARK)
    return f":root {{ {day} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {night} }} }}\n"


def accents(colour: Colour, theme: Theme) -> dict[str, Colour]:
    """The names of moneyback.css and their colours: as near to the seller's as reads well on everything it stands on."""
    tint = theme.sheet.towards(colour, theme.tinted)
    accent = next(
        shade
        for shade in _shades(colour, theme.away)
        if _reads(shade, (theme.ground, theme.sheet, tint, theme.on_accent))
    )
    return {
        "accent": accent,
        "accent-deep": accent.towards(theme.away, _DEEPER),
        "on-accent": theme.on_accent,
        "tint": tint,
    }


def _block(colour: Colour, theme: Theme) -> str:
    return " ".join(f"--{name}: {value};" for name, value in accents(colour, theme).items())


def _shades(colour: Colour, away: Colour) -> Iterable[Colour]:
    steps = (colour.towards(away, n * _STEP) for n in range(round(1 / _STEP)))
    return chain(steps, (away,))


def _reads(shade: Colour, grounds: Iterable[Colour]) -> bool:
    return all(shade.against(ground) >= ENOUGH for ground in grounds)
