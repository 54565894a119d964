"""Tests that a seller's colour is changed if, and only if, its contrast is too low."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.web.pages.theme import DARK, LIGHT, MIN_CONTRAST, Colour, Theme, accents, stylesheet

colours = st.builds(Colour, *[st.integers(0, 255)] * 3)
themes = st.sampled_from([LIGHT, DARK])
TEXT_COLOURS = {LIGHT: Colour.read("#1d2624"), DARK: Colour.read("#e9efec")}
SECONDARY_TEXT_COLOURS = {LIGHT: Colour.read("#55625e"), DARK: Colour.read("#a9b6b1")}


@given(colour=colours, theme=themes)
def test_every_colour_has_readable_contrast(colour: Colour, theme: Theme) -> None:
    palette = accents(colour, theme)
    for accent in (palette["accent"], palette["accent-deep"]):
        assert accent.contrast(theme.background) >= MIN_CONTRAST
        assert accent.contrast(theme.surface) >= MIN_CONTRAST
        assert accent.contrast(palette["tint"]) >= MIN_CONTRAST
        assert palette["on-accent"].contrast(accent) >= MIN_CONTRAST
    assert TEXT_COLOURS[theme].contrast(palette["tint"]) >= MIN_CONTRAST
    assert SECONDARY_TEXT_COLOURS[theme].contrast(palette["tint"]) >= MIN_CONTRAST


def test_a_colour_with_enough_contrast_is_not_changed() -> None:
    assert accents(Colour.read("#8a2be2"), LIGHT)["accent"] == Colour.read("#8A2BE2")


def test_contrast_is_calculated_as_wcag_defines_it() -> None:
    assert Colour(0, 0, 0).contrast(Colour(255, 255, 255)) == pytest.approx(21)
    assert Colour.read("#767676").contrast(Colour(255, 255, 255)) == pytest.approx(4.54, abs=0.01)  # an example of WCAG


def test_the_stylesheet_has_a_light_and_a_dark_theme() -> None:
    sheet = stylesheet(Colour.read("#ffdd00"))
    assert sheet.count("--accent:") == 2
    assert "@media (prefers-color-scheme: dark)" in sheet


@pytest.mark.parametrize(
    "text", ["", "#", "red", "#fff", "1a5fb4", "#1a5fb", "#1a5fb4;", "##1a5fb", "#gggggg", "#١٢٣٤٥٦"]
)
def test_an_invalid_colour_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="six hexadecimal digits"):
        Colour.read(text)


@given(colour=colours)
def test_a_written_colour_is_parsed_to_the_same_colour(colour: Colour) -> None:
    assert Colour.read(str(colour)) == colour
