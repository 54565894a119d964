"""Base classes of enums. Each member has details, such as a sentence, in addition to its value."""

from enum import StrEnum
from typing import Self


class DescribedEnum(StrEnum):
    """An enum whose members have a value and details. The ``__init__`` of a subclass names the details."""

    def __new__(cls, value: str, *_details: object) -> Self:
        """Create a member that is equal to its value, as in every StrEnum."""
        member = str.__new__(cls, value)
        member._value_ = value
        return member


class SentenceEnum(DescribedEnum):
    """An enum whose members have a value and one sentence: ``OTHER = "other", "Another reason"``."""

    sentence: str

    def __init__(self, _value: str, sentence: str) -> None:
        """Store the sentence."""
        self.sentence = sentence
