"""The cells of CSV files that people open in a spreadsheet."""

from decimal import Decimal

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # ASCII and full width
_CONTROLS = ("\t", "\r", "\n", "\0")


def escape_formula(text: str) -> str:
    """Return the text with an apostrophe in front if a spreadsheet could run it as a formula (OWASP ASVS 5.0, 1.2.10).

    Some spreadsheets remove white space before they look for a formula, so the first visible character decides.
    """
    is_formula = text.startswith(_CONTROLS) or text.lstrip().startswith(_FORMULA)
    return f"'{text}" if is_formula else text


def csv_cell(value: str | Decimal | None) -> str:
    """Return the cell for a value. A number is no text of a stranger, so a negative number stays a number."""
    if value is None:
        return ""
    return escape_formula(value) if isinstance(value, str) else str(value)
