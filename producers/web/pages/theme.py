"""Turns a seller's colour into a stylesheet. With this stylesheet, texts are readable in the light and in the dark theme."""

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

MIN_CONTRAST = 4.5  # the ratio 4.5:1 of WCAG 2.2 (1.4.3), which is enough for text of any size
_STEP = 0.04  # the share of black or white by which two neighbouring shades differ; a smaller step is not visible
_DEEPER = 0.25  # the deeper accent is the accent, mixed with this share of black or white


class Colour(NamedTuple):
    """Red, green and blue, each from 0 to 255."""

    red: int
    green: int
    blue: int

    @classmethod
    def read(cls, text: str) -> "Colour":
        """Return a colour that is written as ``#1a2b3c``, or raise a ValueError for any other text."""
        digits = text.removeprefix("#")
        if len(text) != len(digits) + 1 or len(digits) != 6 or not set(digits.lower()) <= set("0123456789abcdef"):  # noqa: PLR2004
            raise ValueError("Write the colour as # and six hexadecimal digits, such as #1a5fb4.")
        return cls(*bytes.fromhex(digits))

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"

    def towards(self, other: "Colour", share: float) -> "Colour":
        """Return a mixture of this colour and the other colour. ``share``, from 0 to 1, is the share of the other colour."""
        return Colour(*(round(start + (end - start) * share) for start, end in zip(self, other, strict=True)))

    @property
    def luminance(self) -> float:
        """WCAG's relative luminance, from 0 to 1."""
        channels = (channel / 255 for channel in self)
        linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)  # noqa: PLR2004
        return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(self, other: "Colour") -> float:
        """Return WCAG's contrast ratio, from 1 to 21."""
        brighter, darker = sorted((self.luminance, other.luminance), reverse=True)
        return (brighter + 0.05) / (darker + 0.05)


class Theme(NamedTuple):
    """The colours of the light or the dark theme in moneyback.css. A seller's colour must be readable with these colours."""

    background: Colour
    surface: Colour
    extreme: Colour
    """Black or white. If this colour is mixed into a seller's colour, the mixture has more contrast to the background."""
    on_accent: Colour
    tint_share: float
    """The share of the seller's colour in the tint of a card."""


_BLACK, _WHITE = Colour(0, 0, 0), Colour(255, 255, 255)
LIGHT = Theme(Colour.read("#f6f7f5"), _WHITE, _BLACK, _WHITE, 0.1)
DARK = Theme(Colour.read("#141a18"), Colour.read("#1d2523"), _WHITE, Colour.read("#0b1110"), 0.12)


def stylesheet(colour: Colour) -> str:
    """Return the CSS that replaces our colours with the seller's colours."""
    light, dark = _declarations(colour, LIGHT), _declarations(colour, DARK)
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def accents(colour: Colour, theme: Theme) -> dict[str, Colour]:
    """Return the CSS variables of a theme and their colours.

    The accent is readable on every background of the theme. Of all readable shades, the accent is nearest to the seller's colour.
    """
    tint = theme.surface.towards(colour, theme.tint_share)
    backgrounds = (theme.background, theme.surface, tint, theme.on_accent)
    accent = next(shade for shade in _shades(colour, theme.extreme) if _is_readable(shade, backgrounds))
    return {
        "accent": accent,
        "accent-deep": accent.towards(theme.extreme, _DEEPER),
        "on-accent": theme.on_accent,
        "tint": tint,
    }


def _declarations(colour: Colour, theme: Theme) -> str:
    return " ".join(f"--{name}: {value};" for name, value in accents(colour, theme).items())


def _shades(colour: Colour, extreme: Colour) -> Iterable[Colour]:
    """Return the shades between this colour and black or white. The last shade is ``extreme`` itself."""
    shades = (colour.towards(extreme, n * _STEP) for n in range(round(1 / _STEP)))
    return chain(shades, (extreme,))


def _is_readable(shade: Colour, backgrounds: Iterable[Colour]) -> bool:
    return all(shade.contrast(background) >= MIN_CONTRAST for background in backgrounds)
