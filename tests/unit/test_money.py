"""Amounts are whole minor units, never floats."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import CURRENCIES, Money, UnknownMoneyError


@pytest.mark.parametrize(
    ("minor", "currency", "written"),
    [(1999, "EUR", "19.99 EUR"), (500, "JPY", "500 JPY"), (1234, "KWD", "1.234 KWD"), (5, "USD", "0.05 USD")],
)
def test_an_amount_is_written_with_its_currencys_decimals(minor: int, currency: str, written: str) -> None:
    assert str(Money(minor, currency)) == written


@pytest.mark.parametrize("minor", [19.99, True, "1999", None, Decimal("19.99")])
def test_only_whole_minor_units_are_an_amount(minor: Any) -> None:
    with pytest.raises(UnknownMoneyError, match="whole number of minor units"):
        Money(minor, "EUR")


@pytest.mark.parametrize("currency", ["eur", "XXX", "", "BTC"])
def test_only_currencies_of_iso_4217_are_accepted(currency: str) -> None:
    with pytest.raises(UnknownMoneyError, match="ISO 4217"):
        Money(1, currency)


@pytest.mark.parametrize("text", ["19.999", "1e3", "", ".", "1,50", "١", "0x10", "- 5", "--5", "1.-5"])
def test_an_invalid_amount_of_euros_is_refused(text: str) -> None:
    with pytest.raises(UnknownMoneyError):
        Money.parse(text, "EUR")


@given(minor=st.integers(-(10**15), 10**15), currency=st.sampled_from(sorted(CURRENCIES)))
def test_a_written_amount_is_parsed_to_the_same_amount(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    assert Money.parse(str(money).removesuffix(f" {currency}"), currency) == money
