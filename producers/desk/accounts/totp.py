"""The second factor of desk users: time-based codes of an authenticator app (RFC 6238), and recovery codes."""

import base64
import hashlib
import hmac
import secrets
from typing import Final

import pyotp
import segno

STEP_SECONDS: Final = 30
_SEED_BYTES: Final = 16
_KEY_BYTES: Final = 20  # the length of the key that RFC 4226 recommends
_ACCEPTED_STEPS: Final = (0, -1, 1)  # the clock of a phone may be half a minute slow or fast
_RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 10  # 80 random bits, so a plain hash of a code cannot be reversed


class Totp:
    """Computes the codes of users.

    The key of a user's codes is derived from the user's seed and the secret key of the settings, so the database alone does
    not contain the key. With a new secret key, each user needs a recovery code, and must set up the second factor again.
    """

    def __init__(self, secret_key: str) -> None:
        self._secret = hashlib.sha256(f"moneyback desk totp {secret_key}".encode()).digest()

    def _codes(self, seed: bytes) -> pyotp.TOTP:
        key = hmac.new(self._secret, seed, hashlib.sha256).digest()[:_KEY_BYTES]
        return pyotp.TOTP(base64.b32encode(key).decode(), interval=STEP_SECONDS)

    def setup_key(self, seed: bytes) -> str:
        """Return the key that a user can type into an authenticator app."""
        return self._codes(seed).secret

    def uri(self, seed: bytes, email: str) -> str:
        """Return the otpauth URI that an authenticator app reads from the QR code."""
        return self._codes(seed).provisioning_uri(name=email, issuer_name="Moneyback desk")

    def matching_step(self, seed: bytes, code: str, now: float) -> int | None:
        """Return the time step whose code this is, or None if the code is wrong or too old."""
        codes, step = self._codes(seed), int(now) // STEP_SECONDS
        typed = "".join(code.split())
        matches = [n for n in _ACCEPTED_STEPS if hmac.compare_digest(codes.generate_otp(step + n), _ascii(typed))]
        return step + matches[0] if matches else None

    def code(self, seed: bytes, now: float) -> str:
        """Return the code at this time, as the user's authenticator app shows it."""
        return self._codes(seed).generate_otp(int(now) // STEP_SECONDS)


def new_seed() -> bytes:
    """Return the seed of a new second factor."""
    return secrets.token_bytes(_SEED_BYTES)


def read_seed(text: str) -> bytes | None:
    """Return the seed from the hidden field of the form, or None if the text is no seed.

    A user gains nothing by another seed, because nobody can compute the key from it.
    """
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        return None
    return seed if len(seed) == _SEED_BYTES else None


def qr_code(uri: str) -> str:
    """Return the QR code of an otpauth URI as inline SVG, black on white in dark pages, too."""
    return segno.make(uri, micro=False).svg_inline(
        scale=5, light="#fff", svgclass="qr", title="QR code", lineclass=None
    )


def new_recovery_codes() -> list[str]:
    """Return recovery codes. Each code signs the user in once instead of a code of the app."""
    raw = [base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower() for _ in range(_RECOVERY_CODES)]
    return ["-".join(code[n : n + 4] for n in range(0, len(code), 4)) for code in raw]


def as_recovery_code(typed: str) -> str:
    """Return a typed recovery code as it was shown, with dashes and without spaces."""
    characters = "".join(typed.lower().split()).replace("-", "")
    return "-".join(characters[n : n + 4] for n in range(0, len(characters), 4))


def _ascii(text: str) -> str:
    """Return the text, or an empty text if it is not ASCII, because only ASCII can be compared in constant time."""
    return text if text.isascii() else ""
