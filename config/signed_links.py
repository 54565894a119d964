"""The links in letters and answers: the id of a case or a note, signed for one purpose. Nothing to guess, nothing to keep."""

import hashlib
from enum import StrEnum
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer

from config.settings import Settings
from domain.errors import NotPossibleError


class Purpose(StrEnum):
    """What a link is good for; one made for another purpose is not."""

    CONFIRM = "confirm"
    STATUS = "status"
    OPEN = "open"


class Links:
    """Makes and reads links."""

    def __init__(self, public_url: str, secret_key: str) -> None:
        self._public_url = public_url.rstrip("/")
        self._signers = {
            purpose: URLSafeSerializer(
                secret_key, salt=f"moneyback {purpose}", signer_kwargs={"digest_method": hashlib.sha256}
            )
            for purpose in Purpose
        }

    def to(self, purpose: Purpose, case: UUID) -> str:
        """The address of a page about a case or a note."""
        return f"{self._public_url}/{purpose}/{self._signers[purpose].dumps(case.hex)}"

    def page(self, path: str) -> str:
        """The address of a page that is there for everybody."""
        return f"{self._public_url}{path}"

    def read(self, purpose: Purpose, token: str) -> UUID:
        """The case in a link's token."""
        try:
            return UUID(hex=self._signers[purpose].loads(token))
        except (BadSignature, ValueError, TypeError, AttributeError):
            raise NotPossibleError("This link isn’t valid. Check that you copied all of it.") from None

    @classmethod
    def of(cls, settings: Settings) -> "Links":
        """The links that these settings sign."""
        return cls(settings.public_url, settings.secret_key.get_secret_value())
