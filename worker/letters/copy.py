"""What the letters say, in English: the sentences are the keys of the catalogues. ``{words}`` in braces are facts of the case.

Nothing here says that money has arrived: we know what the payment provider said, not what a bank has booked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.aftermath import Stage
from domain.requests import Wish
from domain.states import State


class Target(StrEnum):
    """Where a link of a letter leads."""

    CONFIRM = "confirm"
    STATUS = "status"
    FORM = "form"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One letter, in the order in which it is read: ``facts`` is a list of (label, name of the fact)."""

    subject: str
    heading: str
    before: tuple[str, ...]
    facts: tuple[tuple[str, str], ...] = ()
    reasons: bool = False
    ask: str | None = None
    button: tuple[str, Target] | None = None
    after: tuple[str, ...] = ()
    link: tuple[str, Target] | None = None
    true_in: frozenset[State]
    """The states in which the letter says the truth. In any other it is not written."""


_PURCHASE = (("Product", "product"), ("Reference number", "reference"), ("Amount", "amount"), ("Seller", "seller"))

LETTERS: Mapping[Stage, Copy] = {
    Stage.START_REFUND: Copy(
        subject="Please confirm your refund for {reference}",
        heading="Please confirm your refund",
        before=("We were asked to refund this purchase:",),
        facts=_PURCHASE,
        ask="It can be refunded. Nothing happens until you say so:",
        button=("Start refund", Target.CONFIRM),
        after=(
            "You get back the whole amount, the way you paid.",
            (
                "With the refund your right to use {product} ends, and with it the licence keys, downloads and "
                "subscriptions that belong to it."
            ),
            "A refund that was started cannot be undone.",
            "If you did not ask for a refund, you need not do anything: no money moves and your purchase stays as it is.",
        ),
        link=("See how your request is getting on", Target.STATUS),
        true_in=frozenset({State.AWAITING_CONFIRMATION}),
    ),
    Stage.ACCEPTED: Copy(
        subject="Your refund for {reference} is on its way",
        heading="Your refund is on its way",
        before=(
            "The payment service has accepted your refund of {amount} for {product} ({reference}), but has not paid it yet.",
            "With some ways of paying this takes a few days. We keep asking, and write to you again as soon as we know.",
        ),
        link=("See how your refund is getting on", Target.STATUS),
        after=("Questions? {support}",),
        true_in=frozenset({State.REFUND_PENDING}),
    ),
    Stage.REFUNDED: Copy(
        subject="Your refund for {reference} was sent",
        heading="Your refund was sent",
        before=("The payment service has confirmed your refund. It goes back the way you paid:",),
        facts=(*_PURCHASE, ("The refund’s number at the payment service", "refund")),
        after=(
            "{arrival}",
            "With the refund your right to use {product} has ended.",
            "Not there in time? {support}",
        ),
        link=("See the details of your refund", Target.STATUS),
        true_in=frozenset({State.REFUNDED}),
    ),
    Stage.WITH_SUPPORT: Copy(
        subject="Your refund request for {reference} is with our support team",
        heading="A person is looking at your request",
        before=("Your refund request for {product} ({reference}) could not be completed automatically:",),
        reasons=True,
        after=(
            "Our support team has your request and will write to you. You need not send it again.",
            "{question}",
            "Your case number is {case}. Questions? {support}",
        ),
        link=("See how your request is getting on", Target.STATUS),
        true_in=frozenset({State.WITH_SUPPORT}),
    ),
    Stage.RETURNED: Copy(
        subject="Your refund for {reference} did not go through",
        heading="Your refund did not go through",
        before=(
            (
                "The refund of {amount} for {product} ({reference}) failed: the payment service told us so after it had "
                "accepted it. If we wrote to you that it was sent, that is no longer true, and we are sorry."
            ),
            "Your request is now with the support team, who will find another way. You need not do anything.",
        ),
        reasons=True,
        link=("See how your request is getting on", Target.STATUS),
        after=("Your case number is {case}. Questions? {support}",),
        true_in=frozenset({State.WITH_SUPPORT}),
    ),
    Stage.DECLINED: Copy(
        subject="Your refund for {reference} was declined",
        heading="Your refund was declined",
        before=(
            "The support team has decided not to make this refund. If you think that this is wrong, please write to them.",
        ),
        facts=_PURCHASE,
        after=("Your case number is {case}. Questions? {support}",),
        link=("See how your request is getting on", Target.STATUS),
        true_in=frozenset({State.DECLINED}),
    ),
    Stage.NOT_FOUND: Copy(
        subject="We could not find your purchase",
        heading="We could not find your purchase",
        before=(
            "We received a refund request from this address, but found no purchase with exactly these details.",
            (
                "The reference number is in the confirmation of your order. The e-mail address must be the one that you "
                "gave when you ordered; it may be another one than this."
            ),
        ),
        ask="Please try again with both:",
        button=("Ask for a refund", Target.FORM),
        after=("If you did not ask for a refund, you need not do anything.", "Your case number is {case}."),
        true_in=frozenset({State.UNMATCHED}),
    ),
    Stage.ALREADY_ASKED: Copy(
        subject="We already have a refund request for {reference}",
        heading="We already have your request",
        before=(
            "We received another refund request for {product} ({reference}). There is one already, so this one changes nothing.",
            (
                "The first request goes on: see the letter that we sent you about it. If that letter asks you to start the "
                "refund, please use the link in it. A purchase is refunded once, however often it is asked for."
            ),
        ),
        after=("Your case number is {case}. Questions? {support}",),
        true_in=frozenset({State.DUPLICATE}),
    ),
    Stage.WITHDRAWAL_RECEIVED: Copy(
        subject="We have received your withdrawal from the contract",
        heading="We have received your withdrawal",
        before=("This letter confirms what you declared and when it reached us. Please keep it.",),
        facts=(
            ("Received", "declared_at"),
            ("Name", "declarant"),
            ("Contract", "asked_reference"),
            ("E-mail address", "asked_email"),
            ("Declaration", "statement"),
        ),
        after=(
            "The time of your withdrawal counts from this moment, whatever happens later.",
            (
                "Before any money moves we write to the e-mail address of the purchase: the refund is started with the link "
                "in that letter. This protects you, as nobody else can ask in your name."
            ),
            "Your case number is {case}.",
            "If you declared nothing, you need not do anything: no money moves.",
        ),
        link=("See how your request is getting on", Target.STATUS),
        true_in=frozenset(State),
    ),
}

WITHDRAWAL_UNMATCHED = Copy(
    subject="We could not match your withdrawal with a purchase",
    heading="We could not match your withdrawal with a purchase",
    before=(
        (
            "You declared that you withdraw from a contract. We have your declaration, and its day counts. But we found no "
            "purchase with exactly these details, so a person looks for it. You need not declare it again."
        ),
    ),
    facts=(("Contract", "asked_reference"), ("E-mail address", "asked_email")),
    after=(
        (
            "The reference number is in the confirmation of your order. The e-mail address must be the one that you "
            "gave when you ordered; it may be another one than this."
        ),
        "Your case number is {case}.",
        "If you declared nothing, you need not do anything: no money moves.",
    ),
    link=("See how your request is getting on", Target.STATUS),
    true_in=frozenset({State.UNMATCHED}),
)
"""NOT_FOUND for whoever declared by law that they withdraw: they are not asked to ask again."""

TOLD_ANEW: Mapping[State, Stage] = {
    State.AWAITING_CONFIRMATION: Stage.START_REFUND,
    State.REFUND_PENDING: Stage.ACCEPTED,
    State.REFUNDED: Stage.REFUNDED,
    State.WITH_SUPPORT: Stage.WITH_SUPPORT,
}
"""By the state of the case that was there first. In any other that one goes on by itself, and ALREADY_ASKED says so."""

QUESTIONS: Mapping[str, str] = {
    Wish.PARTIAL: "So that they can decide, please write to them which amount or which items you want to have refunded.",
    Wish.VAT: (
        "So that they can decide, please write to them your VAT number, or why you are exempt, and the country that "
        "you are in."
    ),
}
"""What support will want to know about a request that did not say it."""

SOME_REASON = "Our support team needs to look at this purchase first."
"""For reasons that are not for the customer to know."""

SUPPORT = "Please write to {address}."
NO_SUPPORT = "Please contact the support team of {seller}."
NO_AMOUNT = "the full amount"
NO_PRODUCT = "your purchase"
NO_SELLER = "the seller"
FOOT = "We make refunds for {seller}. This letter was written by a program, about your request with the case number {case}."
FOOT_WITHOUT_SELLER = "This letter was written by a program, about the request with the case number {case}."
