"""The keys of references and e-mail addresses, compared with a slow definition that looks at each character."""

import re
import unicodedata
from contextlib import suppress

import idna
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.purchases import email_key, literal_reference, reference_key
from domain.requests import Email

_NOISE = st.sampled_from("\u200b\u00ad\u2013\u2212\u2011-.# \t\x00\x1f\x7f\u0085\u00a0\uff0dｆ１ßİ①")
REFERENCES = st.text(st.one_of(_NOISE, st.characters(max_codepoint=0x7F), st.characters()), max_size=20)
_LABELS = st.text(st.sampled_from("abzABZ09-_ *\tßüÜ文。xn"), max_size=8) | st.sampled_from(
    ["xn--mnchen-3ya", "XN--MNCHEN-3YA", "xn--", "xn--a", "ab--cd", "-a", "a-", "a" * 64]
)
HOSTS = st.lists(_LABELS, max_size=5).map(".".join)


def _slow_reference_key(reference: str) -> str:
    folded = unicodedata.normalize("NFKC", reference)
    dashes = "\u2212\u02d7\u00ad\u2043"
    visible = (c for c in folded if unicodedata.category(c) not in {"Cf", "Cc", "Pd"} and c not in dashes)
    return unicodedata.normalize("NFKC", re.sub(r"[\s.#]+", "", "".join(visible)).casefold())


def _visible(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char) not in {"Cf", "Cc"})


def _slow_email_key(email: str) -> str:
    local, at, host = email.strip().rpartition("@")
    key = _visible(host).strip().lower()
    for form in (key, host):
        with suppress(idna.IDNAError):
            key = idna.encode(form, uts46=True).decode("ascii")
    return f"{_visible(local).casefold()}{at}{key}".strip()


@given(REFERENCES)
@example("MB-2026-0417")
@example("mb\u20112026 0417\x7f")
@example("\x00\x1f-#.")
def test_the_key_of_a_reference_has_no_separators_and_no_invisible_characters(reference: str) -> None:
    assert reference_key(reference) == _slow_reference_key(reference)


@given(st.text(max_size=10), HOSTS)
@example("ada", "Example.COM.")
@example("ada", "")
@example("ada", "a..b")
@example("ada", "xn--MNCHEN-3ya.de")
def test_the_key_of_an_address_has_the_domain_in_idna_form(local: str, host: str) -> None:
    assert email_key(f"{local}@{host}") == _slow_email_key(f"{local}@{host}")


@pytest.mark.parametrize(
    "domain", ["münchen.example", "MÜNCHEN.example", "xn--mnchen-3ya.example", "XN--Mnchen-3YA.Example"]
)
def test_the_forms_of_a_domain_have_the_same_key(domain: str) -> None:
    assert email_key(f"Ada@{domain}") == "ada@xn--mnchen-3ya.example"


INVISIBLE = [
    "\ufeff",  # byte order mark
    "\u200b",  # zero-width space
    "\u200c",  # zero-width non-joiner
    "\u200d",  # zero-width joiner
    "\u2060",  # word joiner
    "\u00ad",  # soft hyphen
    "\u200e",  # left-to-right mark
    "\u200f",  # right-to-left mark
    "\u202a",  # left-to-right embedding
    "\u2066",  # left-to-right isolate
    "\u061c",  # Arabic letter mark
]


@pytest.mark.parametrize("char", [*INVISIBLE, "\x00", "\x1f", "\x7f", "\x85"])
@pytest.mark.parametrize("place", ["{}MB-2", "MB-2{}", "MB{}-2", " {0} MB-2 {0} ", "{0}{0}M{0}B-2"])
def test_an_invisible_character_makes_no_other_reference(char: str, place: str) -> None:
    assert literal_reference(place.format(char)) == literal_reference("MB-2") == "mb-2"


@pytest.mark.parametrize("other", ["MB 2", "MB2", "MB\u20112", "MB-02", "MB-2."])
def test_a_visible_difference_makes_another_reference(other: str) -> None:
    assert literal_reference(other) != literal_reference("MB-2")


@given(REFERENCES)
@example("\ufeffMB-2")
@example("e\u200b\u0301")
def test_purchases_with_the_same_literal_reference_are_found_by_the_same_key(reference: str) -> None:
    """So the migration finds no collision: the first version had one purchase for each ``reference_key``."""
    assert reference_key(literal_reference(reference)) == reference_key(reference)


@given(REFERENCES)
def test_a_literal_reference_is_its_own_key(reference: str) -> None:
    assert literal_reference(literal_reference(reference)) == literal_reference(reference)


@pytest.mark.parametrize("char", INVISIBLE)
@pytest.mark.parametrize(
    "place", ["{}ada@example.com", "ada@example.com{}", "a{}da@example.com", "ada{}@{}example.com", "ada@exam{}ple.com"]
)
def test_an_invisible_character_makes_no_other_address(char: str, place: str) -> None:
    written = place.replace("{}", char)
    assert email_key(written) == "ada@example.com"
    assert TypeAdapter(Email).validate_python(written) == "ada@example.com"


@pytest.mark.parametrize("email", ["info@نامه\u200cای.com", "info@ශ්\u200dරී.com"])
def test_a_joiner_that_the_script_of_a_domain_needs_is_not_removed(email: str) -> None:
    assert email_key(email) != email_key(email.replace("\u200c", "").replace("\u200d", ""))
    with pytest.raises(ValidationError):
        TypeAdapter(Email).validate_python(email)
