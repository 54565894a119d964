"""Errors of the local stack: the bundled servers and the processes of `moneyback demo`, `up` and `bench`.

LocalStackError
├── UserError        the servers' operating system user lacks a right
├── DataDirError     the folder cannot be used as the data directory now
├── ServerError      a server did not start, or did not stop
└── ServiceError     a service did not become ready, or ended too early
"""


class LocalStackError(Exception):
    """The local stack cannot run; the message says why, and what to do."""


class UserError(LocalStackError):
    """The servers' operating system user lacks a right."""


class DataDirError(LocalStackError):
    """The folder cannot be used as the data directory now."""


class ServerError(LocalStackError):
    """A server did not start, or did not stop."""


class ServiceError(LocalStackError):
    """A service did not become ready, or ended too early."""
