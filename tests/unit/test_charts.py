"""The bars of charts: their lengths, their labels, and how many are drawn."""

from decimal import Decimal

from producers.desk.charts import BAR_HEIGHT, LABEL_WIDTH, MAX_BARS, MAX_LABEL, VALUE_WIDTH, WIDTH, Value, draw

FULL = WIDTH - LABEL_WIDTH - VALUE_WIDTH


def widths(*numbers: Decimal | int) -> list[int]:
    return [bar.width for bar in draw([Value("x", number, str(number)) for number in numbers]).bars]


def test_the_longest_bar_has_the_full_width_and_the_others_are_in_proportion() -> None:
    assert widths(50, 100, 25) == [FULL // 2, FULL, FULL // 4]
    assert widths(Decimal("33.3"), Decimal("66.6")) == [FULL // 2, FULL]


def test_zero_and_negative_numbers_have_no_bar() -> None:
    assert widths(0, 0) == [0, 0]
    assert widths(0, 10) == [0, FULL]
    assert widths(-5, 10) == [0, FULL]
    assert widths(-5) == [0]


def test_each_currency_has_its_own_longest_bar() -> None:
    chart = draw([Value("a", 100, "1.00 EUR", "EUR"), Value("b", 9_999, "9999 JPY", "JPY"), Value("c", 50, "", "EUR")])
    assert [bar.width for bar in chart.bars] == [FULL, FULL, FULL // 2]


def test_bars_are_below_each_other() -> None:
    chart = draw([Value("x", 1, "1")] * 3)
    assert [bar.top for bar in chart.bars] == [0, BAR_HEIGHT, 2 * BAR_HEIGHT]
    assert chart.height == 3 * BAR_HEIGHT


def test_a_long_label_is_shortened() -> None:
    short, long = draw([Value("a" * MAX_LABEL, 1, "1"), Value("a" * (MAX_LABEL + 1), 1, "1")]).bars
    assert (short.label, long.label) == ("a" * MAX_LABEL, "a" * (MAX_LABEL - 1) + "…")


def test_a_wide_character_takes_the_place_of_two() -> None:
    fits, cut = draw([Value("注" * (MAX_LABEL // 2), 1, "1"), Value("注" * MAX_LABEL, 1, "1")]).bars
    assert (fits.label, cut.label) == ("注" * (MAX_LABEL // 2), "注" * (MAX_LABEL // 2 - 1) + "…")


def test_only_the_first_bars_are_drawn_and_the_others_are_counted() -> None:
    chart = draw([Value("x", number, str(number)) for number in range(MAX_BARS + 5)])
    assert (len(chart.bars), chart.hidden) == (MAX_BARS, 5)
    assert chart.bars[-1].width == FULL, "The longest bar is one of the bars that are drawn."
    assert (draw([]).bars, draw([]).hidden, draw([]).height) == ([], 0, 0)
