"""The links in letters: what was signed reads back, and nothing else does."""

from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from config.signed_links import Links, Purpose
from domain.errors import NotPossibleError

SENTENCE = r"^This link isn’t valid\. Check that you copied all of it\.$"
OURS = Links("https://refunds.example.com/", "k" * 32)
THEIRS = Links("https://refunds.example.com/", "K" * 32)
CASE = UUID("0198a6f0-0000-7000-8000-000000000001")

purposes = some.sampled_from(Purpose)
a_character = some.characters(min_codepoint=32, max_codepoint=0x2FF)


def token(links: Links, purpose: Purpose, case: UUID) -> str:
    return links.to(purpose, case).rpartition("/")[2]


def refused(purpose: Purpose, text: str) -> None:
    with pytest.raises(NotPossibleError, match=SENTENCE):
        OURS.read(purpose, text)


@given(purpose=purposes, case=some.uuids())
def test_a_link_reads_back(purpose: Purpose, case: UUID) -> None:
    assert OURS.read(purpose, token(OURS, purpose, case)) == case


def test_a_link_starts_with_the_public_address_and_its_purpose() -> None:
    link = OURS.to(Purpose.STATUS, CASE)
    assert link.startswith("https://refunds.example.com/status/")


@given(case=some.uuids())
def test_a_link_needs_no_escaping(case: UUID) -> None:
    text = token(OURS, Purpose.CONFIRM, case)
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").replace(".", "").isalnum()


@given(made=purposes, read=purposes, case=some.uuids())
def test_a_link_made_for_one_purpose_is_not_good_for_another(made: Purpose, read: Purpose, case: UUID) -> None:
    assume(made is not read)
    refused(read, token(OURS, made, case))


@given(purpose=purposes, case=some.uuids())
def test_a_link_that_another_key_signed_is_refused(purpose: Purpose, case: UUID) -> None:
    refused(purpose, token(THEIRS, purpose, case))


@given(purpose=purposes, case=some.uuids(), data=some.data())
def test_a_link_that_was_cut_is_refused(purpose: Purpose, case: UUID, data: some.DataObject) -> None:
    whole = token(OURS, purpose, case)
    start, end = sorted(data.draw(some.tuples(*[some.integers(0, len(whole))] * 2)))
    assume(end - start < len(whole))
    refused(purpose, whole[start:end])


@given(purpose=purposes, case=some.uuids(), char=a_character, data=some.data())
def test_a_link_that_was_changed_names_no_other_case(
    purpose: Purpose, case: UUID, char: str, data: some.DataObject
) -> None:
    """The last character of a signature has bits that are not used: with those changed it is the same signature."""
    whole = token(OURS, purpose, case)
    place = data.draw(some.integers(0, len(whole) - 2))
    assume(whole[place] != char)
    refused(purpose, f"{whole[:place]}{char}{whole[place + 1 :]}")


@given(purpose=purposes, case=some.uuids(), char=a_character)
def test_whatever_its_last_character_a_link_names_its_own_case_or_none(purpose: Purpose, case: UUID, char: str) -> None:
    try:
        found = OURS.read(purpose, token(OURS, purpose, case)[:-1] + char)
    except NotPossibleError:
        return
    assert found == case


@given(purpose=purposes, text=some.text())
def test_what_is_no_link_is_refused(purpose: Purpose, text: str) -> None:
    refused(purpose, text)


@pytest.mark.parametrize("payload", [None, 7, "", "no case", [CASE.hex], {"case": CASE.hex}])
def test_what_we_signed_for_something_else_names_no_case(payload: object) -> None:
    refused(Purpose.STATUS, str(OURS._signers[Purpose.STATUS].dumps(payload)))
