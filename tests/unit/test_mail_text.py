"""Tests of the keys of references and e-mail addresses. Two spellings mean the same if their keys are equal."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.purchases import email_key, reference_key


@pytest.mark.parametrize(
    "written",
    ["MB-2026-0417", "mb 2026 0417", "#MB.2026.0417", "ＭＢ－２０２６－０４１７", "MB–2026—0417", "M\u200bB\u20602026\ufeff0417",
     " MB\u00a02026‐0417\n"],
)  # fmt: skip
def test_spellings_of_a_reference_have_the_same_key(written: str) -> None:
    assert reference_key(written) == "mb20260417"


@pytest.mark.parametrize("other", ["MB-2026-417", "МB-2026-0417", "MB-2026-0418", "MB_2026_0417", "MB/2026/0417"])
def test_a_different_reference_has_a_different_key(other: str) -> None:
    """Leading zeros count, Cyrillic letters differ from Latin letters, and underscores and slashes are kept."""
    assert reference_key(other) != reference_key("MB-2026-0417")


@pytest.mark.parametrize("written", ["ada@example.com", " ADA@Example.COM\u2003", "Ada@EXAMPLE.com"])
def test_spellings_of_an_address_have_the_same_key(written: str) -> None:
    assert email_key(written) == "ada@example.com"


def test_a_domain_is_compared_by_idna() -> None:
    assert email_key("ada@bücher.example") == email_key("ADA@xn--bcher-kva.example")


def test_the_local_part_is_compared_by_full_case_folding() -> None:
    assert email_key("STRASSE@example.com") == email_key("straße@example.com")
    assert email_key("ı@example.com") != email_key("i@example.com")


@pytest.mark.parametrize("other", ["ada+shop@example.com", "a.da@example.com", "аda@example.com"])
def test_addresses_with_tags_dots_or_similar_letters_are_different(other: str) -> None:
    assert email_key(other) != email_key("ada@example.com")


@given(st.text(max_size=60))
@example("\x1b À")
@example("Aß--À")
def test_the_key_of_a_key_is_the_same_key(text: str) -> None:
    assert reference_key(reference_key(text)) == reference_key(text)
    assert email_key(email_key(text)) == email_key(text)
