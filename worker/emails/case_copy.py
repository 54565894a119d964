"""The English texts of the e-mails about cases. Each sentence is a key of the translation catalogues.

A name in braces, such as ``{product}``, is replaced by a fact of the case. No text says that money has arrived, because a
payment provider reports a refund before the customer's bank books it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from domain.emails import EmailKind
from domain.refund_operations import OperationStatus
from domain.refund_situations import Situation
from domain.requests import RefundScope
from domain.states import State


class Target(StrEnum):
    """The page that a link of an e-mail opens."""

    CONFIRM = "confirm"
    STATUS = "status"
    FORM = "form"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The texts of an e-mail, from top to bottom. An entry of ``facts`` is a label and the name of a fact."""

    subject: str
    heading: str
    before: tuple[str, ...]
    facts: tuple[tuple[str, str], ...] = ()
    reasons: bool = False
    message: str | None = None
    """The sentence above what the person of support wrote to the customer; None if the e-mail does not contain it."""
    ask: str | None = None
    button: tuple[str, Target] | None = None
    after: tuple[str, ...] = ()
    link: tuple[str, Target] | None = None
    true_in: frozenset[State]
    """The states in which the text is true. In any other state the e-mail is not sent."""
    statuses: frozenset[OperationStatus] = frozenset()
    """The amount is the sum of the payments whose refund has this status; the sum of all payments if there is none."""
    loss: str | None = None
    """The sentence about the right to use the product. It is left out if only a second charge goes back."""


_PURCHASE = (("Product", "product"), ("Reference number", "reference"), ("Amount", "amount"), ("Seller", "seller"))

_WITH_SUPPORT = frozenset({State.WITH_SUPPORT})
_EXECUTED = frozenset({State.APPROVED, State.REFUNDING, State.WAITING_FOR_APPROVAL})
_CASE_NUMBER = "Your case number is {case}. Questions? {support}"
_FROM_SUPPORT = "Our support team wrote:"
_LOSS = "With the refund, your right to use {product} ends, including its licence keys, downloads and subscriptions."

_ON_ITS_WAY = Copy(
    subject="Your refund for {reference} is on its way",
    heading="Your refund is on its way",
    before=(
        (
            "The payment provider has accepted your refund of {amount} for {product} ({reference}) but hasn’t paid "
            "it yet."
        ),
        "With some payment methods, this takes a few days. We’ll email you again as soon as we know more.",
    ),
    message=_FROM_SUPPORT,
    link=("Track your refund", Target.STATUS),
    after=("Questions? {support}",),
    true_in=frozenset({State.REFUND_PENDING}),
    statuses=frozenset({OperationStatus.PENDING}),
)

EMAILS: Mapping[EmailKind, Copy] = {
    EmailKind.START_REFUND: Copy(
        subject="Please confirm your refund for {reference}",
        heading="Please confirm your refund",
        before=("We received a refund request for this purchase:",),
        facts=_PURCHASE,
        ask="You’re eligible for a refund. To go ahead, confirm here:",
        button=("Start refund", Target.CONFIRM),
        after=(
            "{destination}",
            "{loss}",
            "Once you confirm, this can’t be undone.",
            (
                "Didn’t request a refund? You can ignore this email. Nothing will be refunded and your purchase stays "
                "as it is."
            ),
        ),
        link=("Track your request", Target.STATUS),
        true_in=frozenset({State.AWAITING_CONFIRMATION}),
        loss=_LOSS,
    ),
    EmailKind.ACCEPTED: _ON_ITS_WAY,
    EmailKind.ACTION_REQUIRED: _ON_ITS_WAY,  # if the customer has acted before the e-mail is sent
    EmailKind.REFUNDED: Copy(
        subject="Your refund for {reference} was sent",
        heading="Your refund was sent",
        before=("The payment provider has confirmed your refund. It goes back to your original payment method:",),
        facts=(*_PURCHASE, ("Refund ID", "refund")),
        message=_FROM_SUPPORT,
        after=(
            "{arrival}",
            "Hasn’t arrived by then? {support}",
            "{loss}",
        ),
        link=("View refund details", Target.STATUS),
        true_in=frozenset({State.REFUNDED}),
        loss="With the refund, your right to use {product} has ended.",
    ),
    EmailKind.WITH_SUPPORT: Copy(
        subject="Your refund request for {reference} is with our support team",
        heading="Our support team is reviewing your request",
        before=("We couldn’t complete your refund request for {product} ({reference}) automatically:",),
        reasons=True,
        after=(
            "Our support team has your request and will email you. You don’t need to send it again.",
            "{answer_by}",
            "{question}",
            "Your case number is {case}. Questions? {support}",
        ),
        link=("Track your request", Target.STATUS),
        true_in=frozenset({State.WITH_SUPPORT}),
    ),
    EmailKind.RETURNED: Copy(
        subject="Your refund for {reference} didn’t go through",
        heading="Your refund didn’t go through",
        before=(
            (
                "Your refund of {amount} for {product} ({reference}) failed after the payment provider had "
                "accepted it. If an earlier email said it was sent, we’re sorry: it has since failed."
            ),
            "Our support team now has your request and will find another way. You don’t need to do anything.",
        ),
        reasons=True,
        link=("Track your request", Target.STATUS),
        after=("{answer_by}", "Your case number is {case}. Questions? {support}"),
        true_in=frozenset({State.WITH_SUPPORT}),
        statuses=frozenset({OperationStatus.FAILED}),
    ),
    EmailKind.DECLINED: Copy(
        subject="Your refund for {reference} was declined",
        heading="Your refund was declined",
        before=("Our support team reviewed your request and decided not to refund {product} ({reference}).",),
        message=_FROM_SUPPORT,
        after=("Think this is a mistake? {support}", "Your case number is {case}."),
        link=("Track your request", Target.STATUS),
        true_in=frozenset({State.DECLINED}),
    ),
    EmailKind.APPROVED: Copy(
        subject="Your refund for {reference} was approved",
        heading="Your refund was approved",
        before=("Our support team approved your refund of {amount} for {product} ({reference}).",),
        message=_FROM_SUPPORT,
        after=(
            "{destination}",
            "{loss}",
            "We’ll email you again once it’s been sent. You don’t need to do anything.",
            _CASE_NUMBER,
        ),
        link=("Track your refund", Target.STATUS),
        true_in=_EXECUTED,
        loss=_LOSS,
    ),
    EmailKind.QUESTION: Copy(
        subject="A question about your refund request for {reference}",
        heading="We have a question about your request",
        before=(),
        message="Our support team needs your answer before they can decide about your refund for {product} ({reference}):",
        ask="Reply to this email, or answer here:",
        button=("Answer the question", Target.ANSWER),
        after=("Please don’t send us card numbers or passwords. We never ask for them.", _CASE_NUMBER),
        link=("Track your request", Target.STATUS),
        true_in=_WITH_SUPPORT,
    ),
    EmailKind.ANSWER_RECEIVED: Copy(
        subject="We received your message about {reference}",
        heading="We received your message",
        before=("Thank you. Our support team will read your message and email you. You don’t need to do anything.",),
        after=("{answer_by}", "Want to add something? Just reply to this email.", _CASE_NUMBER),
        link=("Track your request", Target.STATUS),
        true_in=_WITH_SUPPORT,
    ),
    EmailKind.REFUNDED_ELSEWHERE: Copy(
        subject="Your refund for {reference} was made another way",
        heading="Your refund was made another way",
        before=(
            (
                "Our support team has refunded {product} ({reference}) another way. The money may not go back to your "
                "original payment method."
            ),
        ),
        message=_FROM_SUPPORT,
        after=("Haven’t received it? {support}", "Your case number is {case}."),
        link=("Track your request", Target.STATUS),
        true_in=frozenset({State.REFUNDED}),
    ),
    EmailKind.NOT_FOUND: Copy(
        subject="We couldn’t find your purchase",
        heading="We couldn’t find your purchase",
        before=(
            "We received a refund request from this address but found no purchase with exactly these details.",
            (
                "The reference number is in your order confirmation. Use the email address you gave when you "
                "ordered, even if it’s not this one."
            ),
        ),
        ask="Please try again with the reference number and that email address:",
        button=("Request a refund", Target.FORM),
        after=("Didn’t request a refund? You can ignore this email.", "Your case number is {case}."),
        true_in=frozenset({State.UNMATCHED}),
    ),
    EmailKind.ALREADY_REQUESTED: Copy(
        subject="We already have a refund request for {reference}",
        heading="We already have your request",
        before=(
            (
                "We received another refund request for {product} ({reference}). There’s already one, so this one "
                "changes nothing."
            ),
            (
                "Your first request continues: see the email we sent you about it. If that email asks you to "
                "confirm the refund, please use the link in it. A purchase is refunded only once, no matter how "
                "often you request it."
            ),
        ),
        after=("Your case number is {case}. Questions? {support}",),
        true_in=frozenset({State.DUPLICATE}),
    ),
    EmailKind.WITHDRAWAL_RECEIVED: Copy(
        subject="We’ve received your withdrawal from the contract",
        heading="We’ve received your withdrawal",
        before=("This email confirms your withdrawal and when we received it. Please keep it.",),
        facts=(
            ("Received", "declared_at"),
            ("Name", "declarant"),
            ("Contract", "asked_reference"),
            ("Email address", "asked_email"),
            ("Withdrawal statement", "statement"),
        ),
        after=(
            "Your withdrawal is effective from the date and time above.",
            (
                "Before we refund anything, we’ll email the address used for the purchase. Use the link in that "
                "email to start the refund. This protects you: nobody else can start it in your name."
            ),
            "Your case number is {case}.",
            "Didn’t submit this? You can ignore this email. Nothing will be refunded.",
        ),
        link=("Track your request", Target.STATUS),
        true_in=frozenset(State),
    ),
}

WITHDRAWAL_UNMATCHED = Copy(
    subject="We couldn’t match your withdrawal to a purchase",
    heading="We couldn’t match your withdrawal to a purchase",
    before=(
        (
            "We’ve received your withdrawal from a contract. It counts from the day you sent it. But no purchase "
            "matches these details exactly, so our support team is looking for it. You don’t need to withdraw again."
        ),
    ),
    facts=(("Contract", "asked_reference"), ("Email address", "asked_email")),
    after=(
        (
            "The reference number is in your order confirmation. Use the email address you gave when you ordered, "
            "even if it’s not this one."
        ),
        "Your case number is {case}.",
        "Didn’t submit this? You can ignore this email. Nothing will be refunded.",
    ),
    link=("Track your request", Target.STATUS),
    true_in=frozenset({State.UNMATCHED}),
)
"""Replaces NOT_FOUND for a statutory withdrawal, because NOT_FOUND asks the customer to send the request again."""

_ONE_MORE_STEP = Copy(
    subject="One more step for your refund for {reference}",
    heading="One more step for your refund",
    before=(
        "The payment provider has accepted your refund of {amount} for {product} but needs an answer from you.",
        (
            "Look for an email from {provider}. It asks where to send the money. Please follow it: the refund "
            "can’t be sent before you do."
        ),
    ),
    message=_FROM_SUPPORT,
    link=("Track your refund", Target.STATUS),
    after=("Questions? {support}",),
    true_in=frozenset({State.REFUND_PENDING}),
    statuses=frozenset({OperationStatus.PENDING}),
)

_PARTLY_ELSEWHERE = replace(
    EMAILS[EmailKind.REFUNDED_ELSEWHERE],
    subject="Your partial refund for {reference} was made another way",
    heading="Your partial refund was made another way",
    before=(
        (
            "Our support team has refunded {another_way} for {product} ({reference}) another way. The money may not go back "
            "to your original payment method."
        ),
    ),
)

IN_SITUATION: Mapping[tuple[EmailKind, Situation], Copy] = {
    (EmailKind.ACCEPTED, Situation.CUSTOMER_MUST_ACT): _ONE_MORE_STEP,
    (EmailKind.ACTION_REQUIRED, Situation.CUSTOMER_MUST_ACT): _ONE_MORE_STEP,
    (EmailKind.REFUNDED, Situation.REFUNDED_ELSEWHERE): EMAILS[EmailKind.REFUNDED_ELSEWHERE],
    (EmailKind.REFUNDED, Situation.PARTLY_REFUNDED_ELSEWHERE): _PARTLY_ELSEWHERE,
    (EmailKind.REFUNDED_ELSEWHERE, Situation.PARTLY_REFUNDED_ELSEWHERE): _PARTLY_ELSEWHERE,
    (EmailKind.WITH_SUPPORT, Situation.CUSTOMER_MUST_ANSWER): Copy(
        subject="We’re waiting for your answer about {reference}",
        heading="We’re waiting for your answer",
        before=(
            "Our support team emailed you a question about your refund request for {product} ({reference}).",
            "To answer, reply to that email or use the link in it. Our support team will decide once they have your answer.",
        ),
        after=(_CASE_NUMBER,),
        link=("Track your request", Target.STATUS),
        true_in=_WITH_SUPPORT,
    ),
    (EmailKind.WITH_SUPPORT, Situation.REST_WITH_SUPPORT): Copy(
        subject="Part of your refund for {reference} was sent",
        heading="Part of your refund was sent",
        before=("We’ve refunded part of your order. Our support team is taking care of the rest and will email you.",),
        facts=_PURCHASE,
        reasons=True,
        after=("{answer_by}", _CASE_NUMBER),
        link=("Track your request", Target.STATUS),
        true_in=_WITH_SUPPORT,
    ),
    (EmailKind.WITH_SUPPORT, Situation.APPROVAL_NOT_COMPLETED): Copy(
        subject="There’s a problem with your refund for {reference}",
        heading="There’s a problem with your refund",
        before=(
            (
                "Our support team approved a refund of {amount} for {product} ({reference}), but we couldn’t complete it. "
                "We’re sorry."
            ),
        ),
        reasons=True,
        after=(
            "Our support team is taking care of it and will email you. You don’t need to do anything.",
            "{answer_by}",
            _CASE_NUMBER,
        ),
        link=("Track your request", Target.STATUS),
        true_in=_WITH_SUPPORT,
    ),
    (EmailKind.WITH_SUPPORT, Situation.AMOUNT_DIFFERS): Copy(
        subject="Your refund for {reference} needs a check",
        heading="Your refund needs a check",
        before=(
            (
                "The payment provider sent a refund with a different amount than we requested. Our support team will "
                "check it and email you."
            ),
        ),
        facts=_PURCHASE,
        after=("{answer_by}", _CASE_NUMBER),
        link=("Track your request", Target.STATUS),
        true_in=_WITH_SUPPORT,
    ),
    (EmailKind.RETURNED, Situation.CANCELLED_BY_SELLER): Copy(
        subject="Your refund for {reference} was cancelled",
        heading="Your refund was cancelled",
        before=(
            (
                "The seller cancelled your refund of {amount} for {product} ({reference}) at the payment provider. If "
                "an earlier email said it was sent, we’re sorry: this is no longer true."
            ),
            "Our support team will check this and email you. You don’t need to do anything.",
        ),
        after=("{answer_by}", _CASE_NUMBER),
        link=("Track your request", Target.STATUS),
        true_in=_WITH_SUPPORT,
        statuses=frozenset({OperationStatus.FAILED}),
    ),
}
"""The texts that replace those of EMAILS in a situation in which the latter would be wrong."""

OF_A_PART: Mapping[EmailKind, Copy] = {
    EmailKind.APPROVED: replace(
        EMAILS[EmailKind.APPROVED],
        subject="Your partial refund for {reference} was approved",
        heading="Your partial refund was approved",
        before=(
            "Our support team approved a partial refund for {product} ({reference}): {amount} of the {paid} you paid.",
        ),
        loss=None,
    ),
    EmailKind.ACCEPTED: replace(
        _ON_ITS_WAY,
        subject="Your partial refund for {reference} is on its way",
        heading="Your partial refund is on its way",
        before=(
            (
                "The payment provider has accepted your partial refund of {amount} for {product} ({reference}) but "
                "hasn’t paid it yet."
            ),
            _ON_ITS_WAY.before[1],
        ),
    ),
    EmailKind.REFUNDED: replace(
        EMAILS[EmailKind.REFUNDED],
        subject="Your partial refund for {reference} was sent",
        heading="Your partial refund was sent",
        before=(
            "The payment provider has confirmed your partial refund. It goes back to your original payment method:",
        ),
        facts=(
            ("Product", "product"),
            ("Reference number", "reference"),
            ("Refund amount", "amount"),
            ("Amount paid", "paid"),
            ("Seller", "seller"),
            ("Refund ID", "refund"),
        ),
        loss=None,
    ),
}
"""The texts about a refund of a part, which support approved. The customer keeps the product."""

WITHOUT_PURCHASE: Mapping[EmailKind, Copy] = {
    EmailKind.WITH_SUPPORT: Copy(
        subject="Your refund request is with our support team",
        heading="Our support team is reviewing your request",
        before=("We received a refund request from this address and couldn’t complete it automatically:",),
        reasons=True,
        after=(
            "To help them decide, please tell them which product you bought, and when. {support}",
            "{answer_by}",
            "Didn’t request a refund? You can ignore this email.",
            "Your case number is {case}.",
        ),
        link=("Track your request", Target.STATUS),
        true_in=_WITH_SUPPORT,
    ),
    EmailKind.QUESTION: replace(
        EMAILS[EmailKind.QUESTION],
        subject="A question about your refund request",
        message="Our support team needs your answer before they can decide about your refund request:",
    ),
    EmailKind.ANSWER_RECEIVED: replace(EMAILS[EmailKind.ANSWER_RECEIVED], subject="We received your message"),
    EmailKind.DECLINED: replace(
        EMAILS[EmailKind.DECLINED],
        subject="Your refund request was declined",
        before=("Our support team reviewed your request and decided not to make a refund.",),
    ),
    EmailKind.REFUNDED_ELSEWHERE: replace(
        EMAILS[EmailKind.REFUNDED_ELSEWHERE],
        subject="Your refund was made another way",
        before=(
            "Our support team refunded you another way. The money may not go back to your original payment method.",
        ),
    ),
}
"""The texts about a case whose purchase is not known, for example because several purchases match the request.

They contain nothing about a purchase, so these e-mails go to the address of the request.
"""

FOUND_LATER = "We couldn’t find your purchase at first. The seller has now reported it."
"""The first paragraph of the e-mail after NOT_FOUND, which asked the customer to try again."""

REPEATED_EMAILS: Mapping[State, EmailKind] = {
    State.AWAITING_CONFIRMATION: EmailKind.START_REFUND,
    State.REFUND_PENDING: EmailKind.ACCEPTED,
    State.REFUNDED: EmailKind.REFUNDED,
    State.WITH_SUPPORT: EmailKind.WITH_SUPPORT,
}
"""The e-mail that answers a duplicate request. The key is the state of the first case about the purchase.

If the first case is in any other state, the answer is the e-mail ALREADY_REQUESTED.
"""

QUESTIONS: Mapping[str, str] = {
    RefundScope.PARTIAL: "To help them decide, please tell them the amount or the items you’d like refunded.",
    RefundScope.VAT: "To help them decide, please tell them your VAT number, or why you’re exempt, and your country.",
}
"""The question to the customer about a request with this refund scope. Support needs the answer to decide the request."""

DEFAULT_REASON = "Our support team needs to review this purchase first."
"""The customer reads this sentence if only support may see the reason."""

SUPPORT = "Please email {address}."
NO_SUPPORT = "Please contact the support team of {seller}."
NO_AMOUNT = "the full amount"
NO_PRODUCT = "your purchase"
NO_SELLER = "the seller"
FOOT = "This is an automatic email about your request with the case number {case}. We handle refunds for {seller}."
FOOT_WITHOUT_SELLER = "This is an automatic email about your request with the case number {case}."
