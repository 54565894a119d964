"""Writes the header Authorization."""

import base64


def basic(user: str, password: str) -> str:
    """Return the header for Basic authentication (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
