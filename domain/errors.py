"""Everything Moneyback refuses on purpose.

MoneybackError
├── RefusedError            the caller can mend it: the sentence says how
│   ├── UnreadableError     a message, a mail or a row that nobody can read
│   ├── KeyReusedError      one idempotency key, two different requests
│   ├── KeyInFlightError    the same key's request is being accepted at this moment
│   └── NotPossibleError    the case is not in a state that allows this
└── OutOfStepError          a move that the table of states does not have: a bug, never bad luck
"""


class MoneybackError(Exception):
    """Something that Moneyback refuses, in a sentence."""


class RefusedError(MoneybackError):
    """The caller can mend it; the sentence says how."""


class UnreadableError(RefusedError):
    """This is not something Moneyback can read."""


class KeyReusedError(RefusedError):
    """This idempotency key was used for a different request. Use a new key for a new request."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class KeyInFlightError(RefusedError):
    """A request with this idempotency key is being accepted at this moment. Please send it again in a second."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class NotPossibleError(RefusedError):
    """This is not possible any more, or not yet."""


class InvalidTransitionError(MoneybackError):
    """The table of states has no such move."""
