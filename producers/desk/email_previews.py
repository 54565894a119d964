"""The e-mail that a decision sends to the customer, as the agent reads it before the decision.

The state of the case after the decision is worked out here. The e-mail about this state is rendered by the same code that the
worker uses, so that the agent reads what the customer will read. Only the links in it do not work.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage
from typing import Any

from config.i18n import english_name, language_for
from domain.case_payments import CasePayment
from domain.emails import EmailKind
from domain.errors import RefusedError
from domain.policies import Seller, is_above
from domain.purchases import Purchase
from domain.refund_approvals import ApprovedRefund, RefundApproval
from domain.refund_choices import choose_refunds
from domain.refund_parts import RefundedParts
from domain.state_effects import email_for
from domain.states import next_state
from domain.support_decisions import Approve
from producers.decisions import EVENTS, UNDO_SECONDS
from producers.desk.decision_form import APPROVALS, read
from records.case_emails import DueEmail
from records.case_threads import EntryKind, ThreadEntry
from records.case_views import CaseView

RenderEmail = Callable[[DueEmail, CaseView], EmailMessage]
"""Renders an e-mail about a case. The program that starts the desk passes the function of the worker.

The function raises RefusedError if the e-mail cannot be sent.
"""

YOUR_TEXT = "[Your text]"
"""What an e-mail contains as long as the agent has typed no text."""
_ENGLISH = "en"

_WITHOUT_EMAIL: Mapping[str, str] = {
    "rematch": "No email goes now. The rules evaluate the request again, and the customer then gets the email about the result.",
    "record_outcome": "No email goes now. If the refund was made, the customer gets an email when a second person has confirmed.",
    "close": "No email goes to the customer.",
}


@dataclass(frozen=True, slots=True)
class RenderedEmail:
    """An e-mail to the customer, as text."""

    to: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class EmailPreview:
    """The e-mail of a choice. Without an e-mail, the sentence says why."""

    sentence: str = ""
    """When the e-mail goes, or why no e-mail is shown."""
    email: RenderedEmail | None = None
    language: str = _ENGLISH
    in_english: RenderedEmail | None = None
    """The same e-mail in English, for an agent who does not read the customer's language."""

    @property
    def language_name(self) -> str:
        """The English name of the e-mail's language."""
        return english_name(self.language)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewFacts:
    """What the e-mails about a case depend on."""

    view: CaseView
    purchase: Purchase | None
    seller: Seller | None
    refunded: RefundedParts
    thread: Sequence[ThreadEntry]


def preview_emails(
    render: RenderEmail, facts: PreviewFacts, values: Mapping[str, str], choices: Sequence[str]
) -> dict[str, EmailPreview]:
    """Return the e-mail of each choice, with what the agent has typed so far."""
    return {choice: _preview(render, facts, values, choice) for choice in choices}


def _preview(render: RenderEmail, facts: PreviewFacts, values: Mapping[str, str], choice: str) -> EmailPreview:
    if sentence := _WITHOUT_EMAIL.get(choice):
        return EmailPreview(sentence)
    try:
        decision = read(_completed(values, choice), facts.purchase.currency if facts.purchase else None)
        kind, after, sentence = _outcome_of(decision, facts)
        due = DueEmail(facts.view.id, kind, earlier=_sent(facts.thread), message=decision.message)
        language = language_for(facts.view.locale)
        return EmailPreview(
            sentence,
            _rendered(render(due, after)),
            language,
            None if language == _ENGLISH else _rendered(render(due, replace(after, locale=_ENGLISH))),
        )
    except RefusedError as error:
        return EmailPreview(str(error))


def _completed(values: Mapping[str, str], choice: str) -> dict[str, str]:
    """Return the fields of the form, with texts in place of those that the agent has not typed yet."""
    typed = {name: value for name, value in values.items() if value.strip()}
    text = {} if choice in APPROVALS or choice == "refunded_elsewhere" else {"message": YOUR_TEXT}
    return {"reason": YOUR_TEXT, **text, **typed, "choice": choice}


def _outcome_of(decision: Any, facts: PreviewFacts) -> tuple[EmailKind, CaseView, str]:  # noqa: ANN401  # the union of the decisions
    """Return the kind of the e-mail, the case as it is after the decision, and the sentence about when the e-mail goes."""
    event = EVENTS[decision.action]
    state = next_state(facts.view.state, event)
    kind = email_for(event, state)
    assert kind, f"the decision {decision.action} sends an e-mail"
    after = replace(facts.view, state=state, decided_event=event, customer_must_act=False)
    if not isinstance(decision, Approve):
        return kind, after, "This email goes at once."
    if facts.purchase is None:
        raise RefusedError("The case has no purchase yet. Find the purchase first.")
    refunds = choose_refunds(facts.purchase, decision.refund, facts.refunded)
    payments = _payments_of(facts.purchase, refunds)
    return kind, replace(after, payments=payments, is_approved=True), _when_approved(facts, refunds)


def _payments_of(purchase: Purchase, refunds: Sequence[ApprovedRefund]) -> tuple[CasePayment, ...]:
    """Return the payments of the case after the approval of these refunds."""
    known = {payment.id: payment for payment in purchase.payments}
    return tuple(
        CasePayment(
            provider=refund.provider,
            charge=refund.charge,
            amount=refund.amount.minor,
            currency=refund.amount.currency,
            method=known[refund.payment].method,
            duplicate=known[refund.payment].duplicate,
        )
        for refund in refunds
    )


def _when_approved(facts: PreviewFacts, refunds: Sequence[ApprovedRefund]) -> str:
    approval = RefundApproval(facts.view.id, tuple(refunds))
    seller = facts.seller
    if seller and approval.lacks_four_eyes(seller.four_eyes_above):
        return (
            f"{approval.total} is above the seller’s limit for one person ({seller.four_eyes_above}). The email goes when a "
            "second person has confirmed the decision."
        )
    if seller and is_above(approval.total, seller.undo_above):
        return f"This email goes after {UNDO_SECONDS:g} seconds. Until then, you can undo the decision."
    return (
        "This email goes at once, and another email with your text when the refund is sent. If the refund is faster, only that "
        "email goes."
    )


def _rendered(message: EmailMessage) -> RenderedEmail:
    body = message.get_body(("plain",))
    assert body, "every e-mail has a plain text"
    return RenderedEmail(message["To"], message["Subject"], body.get_content())


def _sent(thread: Sequence[ThreadEntry]) -> tuple[str, ...]:
    """Return the names of the e-mails that were sent about the case, as the worker passes them."""
    emails = [entry for entry in thread if entry.kind is EntryKind.EMAIL and entry.is_sent]
    return tuple(f"{entry.label}.{entry.round}" if entry.round else entry.label for entry in emails)
