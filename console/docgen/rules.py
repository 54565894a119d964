"""Generates docs/rules.md: the rules of an automatic refund, and the reason codes."""

from console.docgen.markdown import docstring_text, document, table
from domain.eligibility import RULES
from domain.reason_codes import ReasonCode


def page() -> str:
    """Return the page of the rules and the reason codes."""
    rules = [(f"`{rule.__name__}`", docstring_text(rule).partition("\n\n")[0]) for rule in RULES]
    head = ("code", "for support", "for the customer")
    codes = [
        (f"`{code}`", code.support, code.customer or "– (the customer reads only that support reviews the purchase)")
        for code in ReasonCode
    ]
    return document(
        "The rules of an automatic refund",
        f"All {len(RULES)} rules are checked for a request if its purchase is known and has no other open case. So support sees "
        "all reasons together. A refund is automatic if every rule is met; otherwise support decides. The policy that was in "
        "force at the time of the purchase applies. With each reason, support reads its figures, like "
        "*45 days after the purchase; policy version 1 allows 30.*",
        table(("rule", "meaning"), rules),
        "## Reason codes",
        "Some codes come from the execution of a refund instead of a rule. A code without a sentence for the customer is not "
        "shown to the customer.",
        table(head, codes),
    )
