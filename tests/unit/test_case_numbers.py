"""Case numbers: each serial number has one case number, and the check character detects typing errors."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.case_numbers import ALPHABET, EXAMPLE, MAX_SERIAL, decode, encode, invert, permute
from domain.errors import UnreadableError
from producers.mail import case_numbers

SERIALS = st.integers(min_value=0, max_value=MAX_SERIAL)


def symbols_of(number: str) -> str:
    return number.replace("-", "")


@given(SERIALS)
@example(0)
@example(MAX_SERIAL)
def test_a_case_number_is_decoded_to_its_serial_number(serial: int) -> None:
    number = encode(serial)
    assert re.fullmatch(rf"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}-[{ALPHABET}]", number)
    assert decode(number) == serial


@given(SERIALS)
@example(0)
@example(MAX_SERIAL)
def test_the_permutation_maps_each_number_of_its_range_to_another_number_of_its_range(value: int) -> None:
    """The range is finite, so a permutation that has an inverse on both sides is a bijection."""
    assert 0 <= permute(value) <= MAX_SERIAL
    assert 0 <= invert(value) <= MAX_SERIAL
    assert invert(permute(value)) == permute(invert(value)) == value


def test_the_first_case_numbers_never_change() -> None:
    """Customers know their case numbers, so another permutation or another alphabet is not possible any more."""
    assert [encode(serial) for serial in (1, 2, 3)] == ["HR99-7X91-F", "R5SR-B8SF-1", "KGGZ-X416-7"]


def test_consecutive_case_numbers_have_no_visible_order() -> None:
    numbers = [encode(serial) for serial in range(1, 1_001)]
    ascents = sum(first < second for first, second in pairwise(numbers))
    assert 400 < ascents < 600
    distances = {permute(serial + 1) - permute(serial) for serial in range(1_000)}
    assert len(distances) == 1_000


def test_the_alphabet_has_neither_vowels_nor_look_alikes() -> None:
    assert not set(ALPHABET) & set("AEIOUYL")
    assert len(set(ALPHABET)) == len(ALPHABET) == 29


@given(SERIALS)
def test_each_single_wrong_character_is_detected(serial: int) -> None:
    symbols = symbols_of(encode(serial))
    for position, right in enumerate(symbols):
        for wrong in set(ALPHABET) - {right}:
            with pytest.raises(UnreadableError, match="has a wrong character"):
                decode(symbols[:position] + wrong + symbols[position + 1 :])


@given(SERIALS)
def test_each_exchange_of_two_characters_is_detected(serial: int) -> None:
    symbols = symbols_of(encode(serial))
    for first in range(len(symbols)):
        for second in range(first + 1, len(symbols)):
            exchanged = list(symbols)
            exchanged[first], exchanged[second] = symbols[second], symbols[first]
            if symbols[first] != symbols[second]:
                with pytest.raises(UnreadableError, match="has a wrong character"):
                    decode("".join(exchanged))


@pytest.mark.parametrize(
    "text",
    [
        "hr99-7x91-f",
        "HR997X91F",
        " HR99 7X91 F ",
        "HR99.7X91.F",
        "HR99\u20137X91\u2013F",
        "HR99\u22127X91\u2212F",
        "HR99-7X9I-F",
        "hr99-7x9l-f",
        "ＨＲ９９－７Ｘ９１－Ｆ",
        "HR99\u200b-7X91-F",
        "#HR99-7X91-F",
        "case HR99-7X91-F",
        "Case: HR99-7X91-F.",
        "Case no. HR99-7X91-F",
        "case number #HR99-7X91-F",
        "no. HR99-7X91-F",
        "Nº HR99-7X91-F",
    ],
)
def test_a_case_number_may_be_written_in_many_ways(text: str) -> None:
    assert decode(text) == 1


def test_the_letter_o_is_read_as_zero() -> None:
    number = next(number for serial in range(100) if "0" in (number := encode(serial)))
    assert encode(decode(number.replace("0", "o"))) == number


@pytest.mark.parametrize(
    "text", ["", "-", "4711", "MB-2026-0417", "HR99-7X91", "HR99-7X91-FF", "HR99-7A91-F", "X HR997X91F"]
)
def test_another_text_is_not_a_case_number(text: str) -> None:
    with pytest.raises(UnreadableError, match=f"is not a case number.*{EXAMPLE}"):
        decode(text)


def test_the_example_is_a_case_number() -> None:
    assert encode(decode(EXAMPLE)) == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        "My case number is HR99-7X91-F.",
        "from HR99 7X91 F, thanks",
        "Re: case hr99-7x91-f",
        "HR997X91F",
        "受付番号はHR99-7X91-Fです。",
        "HR99\u20117X91\u2011F",
        "> Ihre Fallnummer lautet HR99-7X91-F. Fragen?\n> HR99-7X91-F",
    ],
)
def test_a_case_number_is_found_in_a_mail(text: str) -> None:
    assert case_numbers.find(text) == (1,)


@pytest.mark.parametrize(
    "text", ["HR99-7X91-G", "XHR99-7X91-F", "HR99-7X91-F2", "HR99-7X91", "Please refund MB-2026-0417."]
)
def test_another_number_in_a_mail_is_not_a_case_number(text: str) -> None:
    assert case_numbers.find(text) == ()


def test_a_mail_names_a_limited_number_of_cases() -> None:
    numbers = [encode(serial) for serial in range(100)]
    assert case_numbers.find(" ".join(numbers)) == tuple(range(case_numbers.MAX_CASE_NUMBERS))
