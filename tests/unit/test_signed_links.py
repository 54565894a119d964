"""Signed links in e-mails: a valid link gives its case id, and every changed link is refused."""

from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config.signed_links import Links, Purpose
from domain.errors import NotPossibleError

INVALID_LINK_ERROR = r"^This link isn’t valid\. Check that you copied all of it\.$"
LINKS = Links("https://refunds.example.com/", "k" * 32)
LINKS_OF_ANOTHER_KEY = Links("https://refunds.example.com/", "K" * 32)
CASE = UUID("0198a6f0-0000-7000-8000-000000000001")

purposes = st.sampled_from(Purpose)
a_character = st.characters(min_codepoint=32, max_codepoint=0x2FF)


def token(links: Links, purpose: Purpose, case: UUID) -> str:
    return links.to(purpose, case).rpartition("/")[2]


def assert_refused(purpose: Purpose, text: str) -> None:
    with pytest.raises(NotPossibleError, match=INVALID_LINK_ERROR):
        LINKS.read(purpose, text)


@given(purpose=purposes, case=st.uuids())
def test_a_link_gives_its_case(purpose: Purpose, case: UUID) -> None:
    assert LINKS.read(purpose, token(LINKS, purpose, case)) == case


def test_a_link_starts_with_the_public_address_and_its_purpose() -> None:
    link = LINKS.to(Purpose.STATUS, CASE)
    assert link.startswith("https://refunds.example.com/status/")


@given(case=st.uuids())
def test_a_link_needs_no_escaping(case: UUID) -> None:
    text = token(LINKS, Purpose.CONFIRM, case)
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").replace(".", "").isalnum()


@given(signed_for=purposes, read_as=purposes, case=st.uuids())
def test_a_link_of_one_purpose_is_refused_for_another_purpose(
    signed_for: Purpose, read_as: Purpose, case: UUID
) -> None:
    assume(signed_for is not read_as)
    assert_refused(read_as, token(LINKS, signed_for, case))


@given(purpose=purposes, case=st.uuids())
def test_a_link_signed_with_another_key_is_refused(purpose: Purpose, case: UUID) -> None:
    assert_refused(purpose, token(LINKS_OF_ANOTHER_KEY, purpose, case))


@given(purpose=purposes, case=st.uuids(), data=st.data())
def test_a_cut_link_is_refused(purpose: Purpose, case: UUID, data: st.DataObject) -> None:
    whole = token(LINKS, purpose, case)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    assume(end - start < len(whole))
    assert_refused(purpose, whole[start:end])


@given(purpose=purposes, case=st.uuids(), char=a_character, data=st.data())
def test_a_changed_link_is_refused(purpose: Purpose, case: UUID, char: str, data: st.DataObject) -> None:
    """The last character is not changed, because some of its bits do not belong to the signature."""
    whole = token(LINKS, purpose, case)
    position = data.draw(st.integers(0, len(whole) - 2))
    assume(whole[position] != char)
    assert_refused(purpose, f"{whole[:position]}{char}{whole[position + 1 :]}")


@given(purpose=purposes, case=st.uuids(), char=a_character)
def test_a_link_with_another_last_character_never_gives_another_case(purpose: Purpose, case: UUID, char: str) -> None:
    try:
        found = LINKS.read(purpose, token(LINKS, purpose, case)[:-1] + char)
    except NotPossibleError:
        return
    assert found == case


@given(purpose=purposes, text=st.text())
def test_random_text_instead_of_a_link_is_refused(purpose: Purpose, text: str) -> None:
    assert_refused(purpose, text)


@pytest.mark.parametrize("payload", [None, 7, "", "no case", [CASE.hex], {"case": CASE.hex}])
def test_a_signed_value_that_is_not_a_case_id_is_refused(payload: object) -> None:
    assert_refused(Purpose.STATUS, str(LINKS._signers[Purpose.STATUS].dumps(payload)))
