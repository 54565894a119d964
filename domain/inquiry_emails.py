"""Notes: letters that belong to no case. A customer wants to see a purchase, or wrote what no case could be made of."""

from datetime import timedelta
from enum import StrEnum

LINK_TTL = timedelta(minutes=30)
"""How long a link to what is private about a purchase can be opened: mail has arrived by then, and nobody else has found it."""

MAX_REFERENCES = 100
"""How many purchases one note names, the newest first."""


class InquiryEmailKind(StrEnum):
    """What a note says. The first two ask: whether anything was found decides what is said at last."""

    PURCHASE = "purchase"
    """What is private about the purchase with this reference, behind a link that opens once."""
    REFERENCES = "references"
    """The references of all purchases of an address."""
    NOTHING_FOUND = "nothing_found"
    """There is no such purchase."""
    NO_REFERENCE = "no_reference"
    """A mail named no purchase: here is the form."""
    TOO_LARGE = "too_large"
    """A mail was too large to be read."""


MAX_PER_DAY = {InquiryEmailKind.PURCHASE: 20, InquiryEmailKind.REFERENCES: 10, InquiryEmailKind.NOTHING_FOUND: 5}
"""So many notes of a kind an address gets in 24 hours at the most: whoever types it a hundred times fills nobody's mailbox."""
