"""What can be wrong with the embedded servers and the processes around them; every message is for the person in front.

BoxError
├── UserError      the servers' user cannot do what it has to
├── HomeError      the folder cannot be our home now
├── ServerError    a server did not start or stop
└── PartError      one of our own processes did not become ready or did not stay
"""


class BoxError(Exception):
    """Something is wrong with the box; the message says what, and what to do."""


class UserError(BoxError):
    """The servers' user cannot do what it has to."""


class HomeError(BoxError):
    """The folder cannot be our home now."""


class ServerError(BoxError):
    """A server did not start or stop."""


class PartError(BoxError):
    """A part did not become ready or did not stay."""
