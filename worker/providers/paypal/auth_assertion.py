"""Builds the header with which a partner names the seller for whom the partner calls PayPal."""

import json
from base64 import urlsafe_b64encode


def build_auth_assertion(client_id: str, payer_id: str) -> str:
    """Return a JSON Web Token without a signature (PayPal's documentation, "API requests": PayPal-Auth-Assertion)."""
    header, claims = {"alg": "none"}, {"iss": client_id, "payer_id": payer_id}
    return f"{_encode(header)}.{_encode(claims)}."


def _encode(fields: dict[str, str]) -> str:
    """Return the fields in Base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(json.dumps(fields, separators=(",", ":")).encode()).rstrip(b"=").decode()
