"""The keys of references and e-mail addresses, compared with a slow definition that looks at each character."""

import re
import unicodedata
from contextlib import suppress

import idna
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.purchases import email_key, reference_key

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


def _slow_email_key(email: str) -> str:
    local, at, host = email.strip().rpartition("@")
    with suppress(idna.IDNAError):
        host = idna.encode(host, uts46=True).decode("ascii")
    return f"{local}{at}{host}".casefold()


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
