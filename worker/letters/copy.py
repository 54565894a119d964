"""What the letters say. One entry a stage; ``{words}`` in braces are facts of the case, escaped where they are shown.

Nothing here says that money has arrived: we know what the payment provider said, not what a bank has booked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.aftermath import Stage
from domain.states import State


class Target(StrEnum):
    """Where a link of a letter leads."""

    CONFIRM = "confirm"
    STATUS = "status"
    FORM = "form"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One letter. ``before`` and ``after`` are paragraphs around what matters: the reasons, the button."""

    subject: str
    heading: str
    before: tuple[str, ...]
    reasons: bool = False
    button: tuple[str, Target] | None = None
    after: tuple[str, ...] = ()
    link: tuple[str, Target] | None = None
    true_in: frozenset[State]
    """The states in which the letter says the truth. In any other it is not written."""


LETTERS: Mapping[Stage, Copy] = {
    Stage.START_REFUND: Copy(
        subject="Please confirm your refund for {reference}",
        heading="Please confirm your refund",
        before=(
            "We were asked to refund this purchase from {seller}:",
            "{product}, {amount}, reference {reference}",
            "It can be refunded. Nothing happens until you say so:",
        ),
        button=("Start refund", Target.CONFIRM),
        after=(
            "You get back {amount}, the way you paid.",
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
            "The payment provider has accepted your refund of {amount} for {product} ({reference}), but has not paid it yet.",
            "With some ways to pay this takes a few days. We keep asking, and write to you again as soon as we know.",
        ),
        link=("See how your refund is getting on", Target.STATUS),
        after=("Questions? {support}",),
        true_in=frozenset({State.REFUND_PENDING}),
    ),
    Stage.REFUNDED: Copy(
        subject="Your refund for {reference} was sent",
        heading="Your refund was sent",
        before=(
            (
                "The payment provider has confirmed your refund of {amount} for {product} ({reference}). "
                "It goes back the way you paid."
            ),
            (
                "Until you see it on your statement, your bank or payment service needs some time: with cards usually "
                "5 to 10 business days."
            ),
            "With the refund your right to use {product} has ended.",
        ),
        link=("See the details of your refund", Target.STATUS),
        after=("Not there after 10 business days? {support}",),
        true_in=frozenset({State.REFUNDED}),
    ),
    Stage.WITH_SUPPORT: Copy(
        subject="Your refund request for {reference} is with our support team",
        heading="A person is looking at your request",
        before=("Your refund request for {product} ({reference}) could not be completed automatically:",),
        reasons=True,
        after=(
            "Our support team has your request and will write to you. You need not send it again.",
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
                "The refund of {amount} for {product} ({reference}) failed: the payment provider told us so after it had "
                "accepted it. If we wrote to you that it was sent, that is no longer true, and we are sorry."
            ),
            "Your request is now with the support team, who will find another way. You need not do anything.",
        ),
        reasons=True,
        link=("See how your request is getting on", Target.STATUS),
        after=("Questions? {support}",),
        true_in=frozenset({State.WITH_SUPPORT}),
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
            "Please try again with both:",
        ),
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
}

SOME_REASON = "Our support team needs to look at this purchase first."
"""For reasons that are not for the customer to know."""

SUPPORT = "Please write to {address}."
NO_SUPPORT = "Please contact the support team of {seller}."
NO_AMOUNT = "the full amount"
NO_PRODUCT = "your purchase"
NO_SELLER = "the seller"
