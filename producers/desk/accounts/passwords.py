"""Hash and check the passwords of desk users with Argon2, and say which new passwords are accepted."""

import secrets
from functools import cache
from threading import BoundedSemaphore
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

MIN_LENGTH: Final = 12  # characters; above the minimum of NIST SP 800-63B, and short enough to type
MAX_LENGTH: Final = 1_000  # characters; a longer text is no password, and hashing it costs time

_hasher = PasswordHasher()
_HASHING = BoundedSemaphore(4)  # a hash needs 64 MB, so that at most 256 MB are in use at the same time


@cache
def _hash_of_unknown_user() -> str:
    """Return the hash of a random text. The password of an unknown user is compared with it, which takes as long."""
    return _hasher.hash(secrets.token_urlsafe())


def warm() -> None:
    """Compute the hash for unknown users, so that the first unknown user does not wait longer."""
    _hash_of_unknown_user()


def hash_password(password: str) -> str:
    """Return the Argon2 hash of a password."""
    with _HASHING:
        return _hasher.hash(password)


def verify(password_hash: str | None, password: str) -> bool:
    """Return whether the password is right. Without a hash, compute one as well, so that the answer takes the same time."""
    with _HASHING:
        try:
            return _hasher.verify(password_hash or _hash_of_unknown_user(), password[:MAX_LENGTH])
        except (Argon2Error, InvalidHashError):
            return False


def needs_rehash(password_hash: str) -> bool:
    """Return whether the hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def refusal_of(password: str, email: str) -> str:
    """Return the sentence that refuses a new password, or an empty text if the password is accepted."""
    if len(password) < MIN_LENGTH:
        return f"Use at least {MIN_LENGTH} characters. Three or four random words are easy to remember."
    if len(password) > MAX_LENGTH:
        return f"Use at most {MAX_LENGTH} characters."
    if password.casefold().strip() in {email.casefold(), email.partition("@")[0].casefold()}:
        return "Don’t use your email address as your password."
    if len(set(password)) < MIN_LENGTH // 3:
        return "This repeats only a few characters. Choose something less easy to guess."
    return ""
