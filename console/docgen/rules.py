"""docs/rules.md: the rules of an automatic refund, and what each can find wrong."""

from console.docgen.markdown import document, said, table
from domain.eligibility import RULES
from domain.findings import Code


def page() -> str:
    """The rules of an automatic refund, and what each can find wrong."""
    listed = [(f"`{rule.__name__}`", said(rule).partition("\n\n")[0]) for rule in RULES]
    head = ("code", "for support", "for the customer")
    codes = [(f"`{code}`", code.support, code.customer or "– (only that a person must look)") for code in Code]
    return document(
        "The rules of an automatic refund",
        f"All {len(RULES)} rules are asked of every request whose purchase is known and free, so that all the reasons are "
        "there at once. A refund is automatic when every one is kept; otherwise a person decides. The policy that counts is "
        "the one that was in force when the purchase was made.",
        table(("rule", "what it says"), listed),
        "## What can be found wrong",
        "Some codes are not found by a rule but while a refund is paid. A code without a sentence for the customer is not "
        "told to them.",
        table(head, codes),
    )
