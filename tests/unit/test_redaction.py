"""Card numbers are removed from customers' texts in every spelling; the rest of a text stays."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.redaction import REMOVED, without_cards
from domain.requests import FormAnswers, RefundRequest, WithdrawalDeclaration
from records.intake import Submission
from tests.sample_data import a_purchase, a_request, a_submission

CARDS = [  # test numbers of the card companies
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


def in_groups_of_four(card: str, separator: str) -> str:
    return separator.join(card[at : at + 4] for at in range(0, len(card), 4))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "spaces": lambda card: in_groups_of_four(card, " "),
    "dashes": lambda card: in_groups_of_four(card, "-"),
    "dots": lambda card: in_groups_of_four(card, "."),
    "two spaces": lambda card: in_groups_of_four(card, "  "),
    "no-break spaces": lambda card: in_groups_of_four(card, "\u00a0"),
    "en dashes": lambda card: in_groups_of_four(card, " – "),
    "zero width": lambda card: in_groups_of_four(card, "\u200b"),
    "over two lines": lambda card: f"{card[:8]}\n{card[8:]}",
    "digit by digit": " ".join,
    "American Express": lambda card: f"{card[:4]} {card[4:10]} {card[10:]}",
    "full width": lambda card: "".join(chr(ord(digit) + 0xFEE0) for digit in card),
    "Arabic": lambda card: "".join(chr(0x0660 + int(digit)) for digit in card),
}
CONTEXTS = [
    "{}",
    "my card is {}.",
    "Visa{}!",
    "card:{},12/27",
    "2026 {} 123",
    "({})",
    "卡号{}。",
    "MB-1\n{}\nthank you",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("card", CARDS)
def test_a_card_number_is_removed_in_every_spelling(card: str, spelling: str) -> None:
    for context in CONTEXTS:
        redacted = without_cards(context.format(SPELLINGS[spelling](card)))
        assert REMOVED in redacted
        digits = "".join(str(unicodedata.decimal(char)) for char in redacted if char.isdecimal())
        assert card not in digits


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111112",  # the check digit is wrong
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
def test_other_numbers_are_not_removed(text: str) -> None:
    assert without_cards(text) == text


def test_the_text_around_a_card_number_stays() -> None:
    text = "Hello,\nI paid 49.00 EUR on 17.04.2026 with 4111 1111 1111 1111 (12/27). MB-2026-0417"
    assert without_cards(text) == text.replace("4111 1111 1111 1111", REMOVED)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_a_second_redaction_changes_nothing(text: str) -> None:
    redacted = without_cards(text)
    assert without_cards(redacted) == redacted


@given(st.sampled_from(CARDS), st.text(alphabet="abc ,;\n", max_size=20), st.text(alphabet="abc ,;\n", max_size=20))
def test_a_card_number_in_a_text_is_removed(card: str, before: str, after: str) -> None:
    assert card not in without_cards(f"{before}{card}{after}")


def test_every_free_text_of_a_request_is_redacted() -> None:
    card = "4111 1111 1111 1111"
    request = RefundRequest.model_validate(
        a_request(a_purchase()).model_dump()
        | {
            "comment": f"charged to {card}",
            "answers": {"amount": card, "items": card, "vat_id": card, "exemption": card},
        }
    )
    assert card not in request.model_dump_json()
    assert request.answers == FormAnswers(amount=REMOVED, items=REMOVED, vat_id=REMOVED, exemption=REMOVED)


def test_the_name_in_a_withdrawal_declaration_is_redacted() -> None:
    declaration = WithdrawalDeclaration(name="Ada 4111 1111 1111 1111", email="ada@example.com", reference="MB-1")
    assert declaration.name == f"Ada {REMOVED}"


def test_a_repeated_request_has_the_same_digest_after_redaction() -> None:
    purchase = a_purchase()
    first, again = (a_submission(purchase, key="one", comment="4111111111111111") for _ in range(2))
    assert isinstance(first, Submission)
    assert first.digest == again.digest
