"""Decides which purchases a customer's mail is about, by comparing every number in the mail with the customer's purchases."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from domain.purchases import email_key, reference_key
from producers.mail.parsed_mail import MAX_REFERENCES, MailKind, ParsedMail, RefundIntent
from producers.mail.references import Candidate, is_similar

PurchaseKey = tuple[str, str]
"""The key of an e-mail address, and the key of a reference."""


def keys_of(mails: Iterable[ParsedMail]) -> set[PurchaseKey]:
    """Return the keys of all purchases that the wishes in these mails can be about."""
    return {
        (email_key(address), reference_key(candidate.text))
        for mail in mails
        if mail.refund_intent
        for address in mail.refund_intent.addresses
        for place in mail.refund_intent.places
        for candidate in place
    }


def match(mail: ParsedMail, purchases: Collection[PurchaseKey]) -> ParsedMail:
    """Return a mail with a request for each of the customer's purchases that the mail names.

    If none of the numbers is a purchase of the customer, the parser's choice remains. A mail that was passed on then has no
    request, because its sender is not the customer and gets no answer.
    """
    named = _named(mail.refund_intent, purchases) if mail.refund_intent else None
    if mail.refund_intent is None or named is None:
        return _without_purchase(mail)
    address, references = named
    if len(references) > MAX_REFERENCES:
        return replace(mail, kind=MailKind.TOO_MANY, requests=())
    keys = {reference_key(reference) for reference in references}
    others = [
        request.reference
        for request in mail.requests
        if not any(reference_key(request.reference) in key for key in keys)  # the parser may have found the first half
    ]
    unknown = [other for other in others if is_similar(other, references[0])]  # perhaps the purchase arrives later
    return replace(
        mail,
        kind=MailKind.REQUEST,
        sender=address,
        requests=tuple(mail.refund_intent.request(address, reference) for reference in [*references, *unknown]),
        requests_refund=False,
        is_passed_on=False,
        is_flagged=mail.is_flagged or len(unknown) < len(others),
    )


def _without_purchase(mail: ParsedMail) -> ParsedMail:
    """Return a mail that names no purchase of the customer. If the mail was passed on, its sender gets no answer.

    A statutory withdrawal without a reference is a request with the customer's address in place of the reference. No purchase
    matches, so the customer gets a receipt, and support looks for the purchase.
    """
    if mail.kind not in {MailKind.REQUEST, MailKind.NO_REFERENCE} or mail.refund_intent is None:
        return mail
    if mail.is_passed_on:
        return replace(mail, kind=MailKind.PASSED_ON, requests=())
    if mail.kind is MailKind.NO_REFERENCE and mail.refund_intent.withdrawal:
        return replace(
            mail, kind=MailKind.WITHDRAWAL, requests=(mail.refund_intent.request(mail.sender, mail.sender[:100]),)
        )
    return mail


def _named(refund_intent: RefundIntent, purchases: Collection[PurchaseKey]) -> tuple[str, list[str]] | None:
    """Return the address of the customer and the references of the purchases in the first place that names a purchase."""
    for address in refund_intent.addresses:
        for place in refund_intent.places:
            if found := _known(place, email_key(address), purchases):
                return address, found
    return None


def _known(place: Iterable[Candidate], address_key: str, purchases: Collection[PurchaseKey]) -> list[str]:
    """Return the references of purchases, in the order of the text. A part of a longer reference is not a reference."""
    found: list[Candidate] = []
    for candidate in place:
        is_part = any(candidate.start < other.end and other.start < candidate.end for other in found)
        if not is_part and (address_key, reference_key(candidate.text)) in purchases:
            found.append(candidate)
    in_order = {reference_key(item.text): item.text for item in sorted(found, key=lambda item: item.start)}
    return list(in_order.values())
