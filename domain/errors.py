"""The errors that Moneyback raises on purpose.

MoneybackError
├── RefusedError              the caller can correct the error; the message says how to correct it
│   ├── UnreadableError       a message, a mail or a row is invalid
│   ├── KeyReusedError        two different requests have the same idempotency key
│   ├── KeyInFlightError      a request with the same idempotency key is being accepted at this moment
│   ├── NotFoundError         there is no such row, or the caller may not see it
│   ├── OutdatedError         something changed since the caller read it; the message says what changed
│   └── NotPossibleError      the state of the case does not allow the action
│       └── NotRefundableError    the chosen part of a purchase cannot be refunded
└── InvalidTransitionError    the table of states has no such transition: always a bug
"""


class MoneybackError(Exception):
    """An error whose message is a complete sentence."""


class RefusedError(MoneybackError):
    """An error that the caller can correct; the message says how to correct it."""


class UnreadableError(RefusedError):
    """A message, a mail or a row that Moneyback cannot read."""


class KeyReusedError(RefusedError):
    """This idempotency key was used for a different request. Use a new key for a new request."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class KeyInFlightError(RefusedError):
    """A request with this idempotency key is being accepted at this moment. Send it again in a second."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class NotFoundError(RefusedError):
    """There is no such row, or the caller may not see it."""


class OutdatedError(RefusedError):
    """Something changed since the caller read it. The message says what changed."""


class NotPossibleError(RefusedError):
    """The state of the case does not allow the action."""


class NotRefundableError(NotPossibleError):
    """The chosen part of a purchase cannot be refunded."""


class InvalidTransitionError(MoneybackError):
    """The table of states has no such transition. This error is always a bug."""
