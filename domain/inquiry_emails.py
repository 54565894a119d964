"""The inquiry e-mails: e-mails that belong to no case.

They answer a customer who looks for a purchase, or whose mail did not become a case.
"""

from datetime import timedelta
from enum import StrEnum

LINK_TTL = timedelta(minutes=30)
"""The time for which a link to the private details of a purchase is valid. Most e-mails arrive in a shorter time."""

MAX_REFERENCES = 100
"""The maximum number of purchases in one inquiry e-mail; the newest purchases come first."""


class InquiryEmailKind(StrEnum):
    """The kinds of inquiry e-mails.

    If no purchase matches, ``NOTHING_FOUND`` is sent in place of ``PURCHASE`` or ``REFERENCES``.
    """

    PURCHASE = "purchase"
    """A link to the private details of the purchase whose reference the customer entered. The link works only once."""
    REFERENCES = "references"
    """The references of all purchases with the e-mail address that the customer entered."""
    NOTHING_FOUND = "nothing_found"
    """No purchase matches what the customer entered."""
    NO_REFERENCE = "no_reference"
    """A link to the refund form, because the customer's mail named no purchase."""
    TOO_LARGE = "too_large"
    """The customer's mail was too large to be read."""


MAX_PER_DAY = {InquiryEmailKind.PURCHASE: 20, InquiryEmailKind.REFERENCES: 10, InquiryEmailKind.NOTHING_FOUND: 5}
"""For each kind: the maximum number of inquiry e-mails that one address gets in 24 hours.

The limit exists because a stranger could enter another person's address a hundred times and flood the mailbox.
"""
