"""Card numbers are taken out of what customers write, however they write them; nothing else is."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.redaction import REMOVED, without_cards
from domain.requests import FormAnswers, RefundRequest, WithdrawalDeclaration
from records.intake import Submission
from tests.sample_data import a_purchase, a_request, an_arrival

CARDS = [  # the card companies' own numbers for tests
    "4111111111111111",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "30569309025904",
    "6011111111111117",
    "3530111333300000",
    "6759649826438453",
    "6212345678901232",
    "4000000000000000006",
]


def fours(card: str, between: str) -> str:
    return between.join(card[at : at + 4] for at in range(0, len(card), 4))


WAYS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "spaces": lambda card: fours(card, " "),
    "dashes": lambda card: fours(card, "-"),
    "dots": lambda card: fours(card, "."),
    "two spaces": lambda card: fours(card, "  "),
    "spaces that do not break": lambda card: fours(card, "\u00a0"),
    "en dashes": lambda card: fours(card, " – "),
    "zero width": lambda card: fours(card, "\u200b"),
    "over two lines": lambda card: f"{card[:8]}\n{card[8:]}",
    "one by one": " ".join,
    "American Express": lambda card: f"{card[:4]} {card[4:10]} {card[10:]}",
    "full width": lambda card: "".join(chr(ord(digit) + 0xFEE0) for digit in card),
    "Arabic": lambda card: "".join(chr(0x0660 + int(digit)) for digit in card),
}
AROUND = ["{}", "my card is {}.", "Visa{}!", "card:{},12/27", "2026 {} 123", "({})", "卡号{}。", "MB-1\n{}\nthank you"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("card", CARDS)
def test_a_card_number_is_removed_however_it_is_written(card: str, way: str) -> None:
    for around in AROUND:
        left = without_cards(around.format(WAYS[way](card)))
        assert REMOVED in left
        digits = "".join(str(unicodedata.decimal(char)) for char in left if char.isdecimal())
        assert card not in digits


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111112",  # its check digit is wrong
        "1111111111111117",  # no card begins with 1
        "411111111111",  # too short
        "MB-2026-0417 and MB-2026-0418",
        "+49 30 901820, +1 (202) 555-0142",
        "DE89 3704 0044 0532 0130 00",
        "2026-04-17 14:05, 49.00 EUR, 19.99",
        "x" * 4_000,
        "1 " * 2_000,
    ],
)
def test_what_is_no_card_number_stays(text: str) -> None:
    assert without_cards(text) == text


def test_what_stands_around_a_card_number_stays() -> None:
    text = "Hello,\nI paid 49.00 EUR on 17.04.2026 with 4111 1111 1111 1111 (12/27). MB-2026-0417"
    assert without_cards(text) == text.replace("4111 1111 1111 1111", REMOVED)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_what_was_cleared_is_clear(text: str) -> None:
    cleared = without_cards(text)
    assert without_cards(cleared) == cleared


@given(st.sampled_from(CARDS), st.text(alphabet="abc ,;\n", max_size=20), st.text(alphabet="abc ,;\n", max_size=20))
def test_no_card_survives_its_neighbours(card: str, before: str, after: str) -> None:
    assert card not in without_cards(f"{before}{card}{after}")


def test_every_free_text_of_a_request_is_cleared_before_anybody_sees_it() -> None:
    card = "4111 1111 1111 1111"
    asked = RefundRequest.model_validate(
        a_request(a_purchase()).model_dump()
        | {
            "comment": f"charged to {card}",
            "answers": {"amount": card, "items": card, "vat_id": card, "exemption": card},
        }
    )
    assert card not in asked.model_dump_json()
    assert asked.answers == FormAnswers(amount=REMOVED, items=REMOVED, vat_id=REMOVED, exemption=REMOVED)


def test_a_name_under_a_declaration_is_no_place_for_a_card_number_either() -> None:
    said = WithdrawalDeclaration(name="Ada 4111 1111 1111 1111", email="ada@example.com", reference="MB-1")
    assert said.name == f"Ada {REMOVED}"


def test_a_request_that_comes_again_is_the_same_request_although_its_card_number_was_removed() -> None:
    bought = a_purchase()
    first, again = (an_arrival(bought, key="one", comment="4111111111111111") for _ in range(2))
    assert isinstance(first, Submission)
    assert first.digest == again.digest
