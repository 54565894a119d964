"""Refund requests and withdrawal declarations: valid input is normalised, invalid input is refused with a reason."""

import unicodedata
from typing import Annotated, Any

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.money import Money, UnknownMoneyError
from domain.policies import Category
from domain.purchases import without_invisible
from domain.requests import Email, OneLine, RefundRequest, WithdrawalDeclaration
from tests.sample_data import a_policy

VALID_BODY: dict[str, Any] = {"email": "ada@example.com", "reference": "MB-2026-0417", "reason": "dissatisfied"}


@pytest.mark.parametrize(
    "changes",
    [
        {"email": " ada@example.com "},
        {"reference": "\u00a0MB\u20112026\u200b0417\t"},  # as copied from an e-mail
        {"comment": "It does not work.\r\n\tReally not. \U0001f469\u200d\U0001f4bb"},
        {"locale": "de"},
        {"locale": "pt_BR"},
        {"refund_scope": "vat"},
        {"refund_scope": "partial", "answers": {"amount": " 20 EUR ", "items": "the mug,\r\nnot the plate"}},
        {"refund_scope": "vat", "answers": {"vat_id": "DE123456789", "exemption": ""}},
    ],
)
def test_usual_input_is_accepted(changes: dict[str, Any]) -> None:
    request = RefundRequest.model_validate(VALID_BODY | changes)
    assert "\r" not in request.comment
    assert request.email == "ada@example.com"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"email": "ada"}, "not an e-mail address"),
        ({"email": "ada@example.com\nBcc: all@example.com"}, "line breaks or control characters"),
        ({"email": 5}, "valid string"),
        ({"reference": "   "}, "at least 1 character"),
        ({"reference": "–––"}, "no letter and no digit"),
        ({"reference": "MB\x00"}, "line breaks or control characters"),
        ({"reference": "x" * 101}, "at most 100 characters"),
        ({"reason": "because"}, "'unwanted_renewal', 'dissatisfied'"),
        ({"comment": "\x07"}, "control characters"),
        ({"comment": "x" * 4_001}, "at most 4000 characters"),
        ({"locale": "../../etc"}, "match pattern"),
        ({"amount": 100}, "Extra inputs are not permitted"),
        ({"answers": {"price": "20 EUR"}}, "Extra inputs are not permitted"),
        ({"answers": {"amount": 20}}, "valid string"),
        ({"answers": {"amount": "1" * 101}}, "at most 100 characters"),
        ({"answers": {"items": "x" * 1_001}}, "at most 1000 characters"),
        ({"answers": {"vat_id": "DE1\nBcc: all@example.com"}}, "line breaks or control characters"),
    ],
)
def test_invalid_input_is_refused_with_a_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        RefundRequest.model_validate(VALID_BODY | changes)
    assert message in str(refused.value)


_PARTS = st.text(st.sampled_from("azAZ09._+-'\"@ !ſ\u212aü\n"), max_size=6) | st.sampled_from(["a" * 64, "b" * 63, "1"])
_ENDINGS = st.sampled_from(
    ["com", "Example", "c0m", "co", "c", "xn--p1ai", *SPECIAL_USE_DOMAIN_NAMES, "LOCAL", "tests"]
)
ADDRESSES = st.builds("{}@{}.{}".format, _PARTS, st.lists(_PARTS, min_size=1, max_size=4).map(".".join), _ENDINGS)


@given(ADDRESSES)
@example("ada@example.test")
@example("ada@mail.local")
@example("ada@xn--a.example.com")
@example("ada@ab--cd.example")
@example("a..b@example.com")
@example(f"{'a' * 64}@example.com")
@example(f"{'a' * 65}@example.com")
@example(f"ada@{'a' * 64}.com")
@example("ada@localhost")
def test_an_address_is_valid_if_the_library_says_so(address: str) -> None:
    address = without_invisible(address).strip()
    try:
        validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        with pytest.raises(ValidationError):
            TypeAdapter(Email).validate_python(address)
    else:
        assert TypeAdapter(Email).validate_python(address) == address


@given(st.text(st.characters(categories=("Cc", "Cs", "Zl", "Zp", "Cf", "Zs", "Co", "L", "S")), max_size=8))
def test_one_line_has_no_control_characters_and_no_line_breaks(text: str) -> None:
    is_one_line = not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text)
    validate = TypeAdapter(Annotated[str, OneLine]).validate_python
    if is_one_line:
        assert validate(text) == text
    else:
        with pytest.raises(ValidationError):
            validate(text)


def test_the_answers_are_immutable() -> None:
    request = RefundRequest.model_validate(VALID_BODY | {"answers": {"amount": "20 EUR"}})
    with pytest.raises(ValidationError, match="frozen"):
        request.answers.amount = "2000 EUR"  # type: ignore[misc]  # the assignment must fail


@pytest.mark.parametrize("name", ["Ada Lovelace", "爱达", "O’Brien-Ž. jr."])
def test_a_declaration_accepts_any_name(name: str) -> None:
    assert WithdrawalDeclaration(name=name, email="ada@example.com", reference="MB-1").name == name


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "Ada\nBcc: all@example.com"},
        {"name": "Win at https://evil.example"},
        {"name": "ada@evil.example"},
        {"reference": "WWW.evil.example"},
        {"reason": "not required by law"},
    ],
)
def test_a_declaration_with_an_invalid_field_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        WithdrawalDeclaration.model_validate({"name": "Ada", "email": "ada@example.com", "reference": "MB-1"} | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"days": None},
        {"days": -1},
        {"category": Category.NO_RESTRICTIONS},
    ],
)
def test_an_inconsistent_policy_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="A policy"):
        a_policy(**changes)


def test_an_amount_of_an_unknown_currency_is_refused() -> None:
    with pytest.raises(UnknownMoneyError, match="not a currency"):
        Money.parse("1", "XXX")
