"""Parses Adyen's refunds strictly, so that another refund is never mistaken for our refund."""

import re
from collections.abc import Mapping
from typing import Any, TypeGuard

_PSP_REFERENCE = re.compile(r"[A-Z0-9]{16}")  # docs.adyen.com: "Adyen's 16-character reference"


def is_psp_reference(value: object) -> TypeGuard[str]:
    """Return whether the value is a pspReference."""
    return type(value) is str and _PSP_REFERENCE.fullmatch(value) is not None


def parse_refund_id(row: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """Return the refund's pspReference, or None if a field differs from ``expected``."""
    refund_id = row.get("pspReference")
    is_expected = all(row.get(name) == value for name, value in expected.items())
    return refund_id if is_expected and is_psp_reference(refund_id) else None
