"""A seller's colour is changed as far as it must be read, and no further."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from producers.web.pages.theme import DARK, LIGHT, MIN_CONTRAST, Colour, Theme, accents, stylesheet

colours = some.builds(Colour, *[some.integers(0, 255)] * 3)
themes = some.sampled_from([LIGHT, DARK])
INK = {LIGHT: Colour.read("#1d2624"), DARK: Colour.read("#e9efec")}
SOFT = {LIGHT: Colour.read("#55625e"), DARK: Colour.read("#a9b6b1")}


@given(colour=colours, theme=themes)
def test_whatever_the_colour_everything_can_be_read(colour: Colour, theme: Theme) -> None:
    made = accents(colour, theme)
    for accent in (made["accent"], made["accent-deep"]):
        assert accent.contrast(theme.background) >= MIN_CONTRAST
        assert accent.contrast(theme.surface) >= MIN_CONTRAST
        assert accent.contrast(made["tint"]) >= MIN_CONTRAST
        assert made["on-accent"].contrast(accent) >= MIN_CONTRAST
    assert INK[theme].contrast(made["tint"]) >= MIN_CONTRAST
    assert SOFT[theme].contrast(made["tint"]) >= MIN_CONTRAST


def test_a_colour_that_reads_well_stays_as_it_is() -> None:
    assert accents(Colour.read("#8a2be2"), LIGHT)["accent"] == Colour.read("#8A2BE2")


def test_black_on_white_is_the_most_that_there_is() -> None:
    assert Colour(0, 0, 0).contrast(Colour(255, 255, 255)) == pytest.approx(21)
    assert Colour.read("#767676").contrast(Colour(255, 255, 255)) == pytest.approx(4.54, abs=0.01)  # WCAG's own example


def test_the_stylesheet_has_a_day_and_a_night() -> None:
    sheet = stylesheet(Colour.read("#ffdd00"))
    assert sheet.count("--accent:") == 2
    assert "@media (prefers-color-scheme: dark)" in sheet


@pytest.mark.parametrize(
    "text", ["", "#", "red", "#fff", "1a5fb4", "#1a5fb", "#1a5fb4;", "##1a5fb", "#gggggg", "#١٢٣٤٥٦"]
)
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="six hexadecimal digits"):
        Colour.read(text)


@given(colour=colours)
def test_a_colour_reads_back(colour: Colour) -> None:
    assert Colour.read(str(colour)) == colour
