"""Signed links in e-mails and API responses. A link contains the id of a case or an inquiry e-mail, signed for one purpose.

An inquiry e-mail is an e-mail that belongs to no case. A signed link cannot be guessed, and need not be stored.
"""

import hashlib
from enum import StrEnum
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer

from config.settings import Settings
from domain.errors import NotPossibleError


class Purpose(StrEnum):
    """The purpose of a link. A page refuses a link with another purpose."""

    CONFIRM = "confirm"
    STATUS = "status"
    OPEN = "open"
    ANSWER = "answer"


class Links:
    """Creates and reads signed links."""

    def __init__(self, public_url: str, secret_key: str) -> None:
        self._public_url = public_url.rstrip("/")
        self._signers = {
            purpose: URLSafeSerializer(
                secret_key, salt=f"moneyback {purpose}", signer_kwargs={"digest_method": hashlib.sha256}
            )
            for purpose in Purpose
        }

    def to(self, purpose: Purpose, case: UUID) -> str:
        """Return the URL of a page with this purpose. ``case`` is the id of a case or of an inquiry e-mail."""
        return f"{self._public_url}/{purpose}/{self._signers[purpose].dumps(case.hex)}"

    def page(self, path: str) -> str:
        """Return the URL of a public page."""
        return f"{self._public_url}{path}"

    def read(self, purpose: Purpose, token: str) -> UUID:
        """Return the id in the token of a link; raise NotPossibleError if the token is invalid or has another purpose."""
        try:
            return UUID(hex=self._signers[purpose].loads(token))
        except (BadSignature, ValueError, TypeError, AttributeError):
            raise NotPossibleError("This link isn’t valid. Check that you copied all of it.") from None

    @classmethod
    def of(cls, settings: Settings) -> "Links":
        """Return a `Links` with these settings. The secret key in the settings signs the links."""
        return cls(settings.public_url, settings.secret_key.get_secret_value())
