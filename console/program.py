"""The name with which the user runs this program: `moneyback`, or the path of the launcher in a checkout."""

import os

LAUNCHER = "MONEYBACK_PROGRAM"
"""The environment variable in which the launcher passes the name that the user has typed."""


def program() -> str:
    """Return what the user types to run this program."""
    return os.environ.get(LAUNCHER, "moneyback")


def as_typed(sentence: str) -> str:
    """Return the sentence with its commands as the user types them. In a sentence, a command stands between backticks."""
    return sentence.replace("`moneyback ", f"`{program()} ")
