"""The revision of a case: what a person of support sees when they decide, in a short text.

A decision names the revision that the person saw. If anything changed since then, the decision is refused.
"""

import re
from dataclasses import dataclass
from typing import Self

from domain.errors import UnreadableError

NO_PROPOSAL = "00000000"
_FORM = re.compile(r"(\d{1,9})\.(\d{1,9})\.([0-9a-f]{8})\.([0-9a-f]{8})\.([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class CaseRevision:
    """The parts of a revision. The last three are the first 8 hexadecimal digits of a hash."""

    seq: int
    """The number of the newest row of the case's history."""
    answers: int
    """The number of the customer's answers."""
    purchase: str
    """The purchase and its payments, as the seller reports them."""
    refunds: str
    """What was refunded and reserved of the payments, and their disputes."""
    proposal: str
    """The decision that waits for a second person, or NO_PROPOSAL."""

    @property
    def has_proposal(self) -> bool:
        """True if a decision waits for a second person."""
        return self.proposal != NO_PROPOSAL

    def __str__(self) -> str:
        """Return the text of the revision, such as ``12.1.9f3a2c41.77ab12cd.00000000``."""
        return f"{self.seq}.{self.answers}.{self.purchase}.{self.refunds}.{self.proposal}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the revision with this text. Raise UnreadableError if the text is not a revision."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise UnreadableError("This is not a revision of a case. Copy the revision that the case was shown with.")
        seq, answers, *hashes = match.groups()
        return cls(int(seq), int(answers), *hashes)

    def changes_since(self, shown: Self) -> list[str]:
        """Return a sentence for each part that changed since the person saw the ``shown`` revision."""
        pairs = (
            (self.answers, shown.answers, "The customer answered."),
            (self.purchase, shown.purchase, "The seller changed the purchase."),
            (self.refunds, shown.refunds, "A refund or a dispute of a payment changed."),
            (self.proposal, shown.proposal, "Another decision about this case was proposed, confirmed or rejected."),
            (self.seq, shown.seq, "The history of the case has new entries."),
        )
        return [sentence for now, before, sentence in pairs if now != before]
