import re
from datetime import datetime
from http import HTTPStatus
from typing import Any

from domain.money import Money
from domain.providers import (
    Absent,
    Answer,
    Declined,
    DisputeSeen,
    Elsewhere,
    Found,
    Page,
    Refusal,
    Standing,
    Unknown,
)
from domain.purchases import Dispute
from worker.providers.deadline import within
from worker.providers.disputes import decisive
from worker.providers.paypal.api import Api, Reply
from worker.providers.paypal.codes import CAPABILITIES, CODES, OUTCOMES
from worker.providers.paypal.rows import ID, Capture, Refund, read_capture, read_refund, written
from worker.providers.paypal.search import page, refunds_about

NO_CAPTURE = "INVALID_RESOURCE_ID"  # PayPal's own word

_DISPUTE = re.compile(r"[A-Za-z0-9-]{1,100}")  # "Disputes", dispute_info


class PayPal:
    """Our side of PayPal. A charge is a capture's id; our key is the request's id, and the refund's custom and invoice id."""

    capabilities = CAPABILITIES

    def __init__(self, api: Api, *, provider_timeout_seconds: float) -> None:
        self._api = api
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> Answer:
        if not ID.fullmatch(charge):
            return Declined(Refusal.PERMANENT, NO_CAPTURE)
        with within(self._seconds):
            reply = self._api.refund(charge, written(amount), key)
        if isinstance(reply, Unknown):
            return reply
        if not reply.is_fine:
            return _refused(reply)
        refund = read_refund(reply.document)
        if refund is None or (refund.charge, refund.amount) != (charge, amount) or key not in refund.keys:
            return Unknown("PayPal's answer is not about the refund that it was asked for.")
        return refund.answer()

    def look_up(self, charge: str, *, key: str) -> Found:
        """The capture says whether anything was refunded; its order or PayPal's list of refunds, what, and by whom."""
        with within(self._seconds):
            capture = self._capture(charge)
            if isinstance(capture, Unknown):
                return capture
            refunds = self._refunds(capture)
        if isinstance(refunds, Unknown):
            return refunds
        live = [refund for refund in refunds if refund.standing is not Standing.FAILED]
        for refund in [*live, *refunds]:
            if key in refund.keys:
                return refund.answer()
        if live:
            return Elsewhere(live[0].id, live[0].amount)
        if not capture.is_untouched:
            return Unknown("PayPal says that something of this capture was refunded, and does not show it yet.")
        return Absent()  # but for a refund by eCheck that no order shows; a repeat of ours is answered with ours

    def dispute(self, charge: str) -> DisputeSeen | Unknown:
        if not ID.fullmatch(charge):
            return Unknown("This is no capture's id of PayPal's, so there is nothing to ask for.")
        with within(self._seconds):
            listed = _disputes(self._api.disputes(charge))
            if isinstance(listed, Unknown):
                return listed
            seen = []
            for id_, is_over in listed:
                dispute = self._outcome(id_) if is_over else DisputeSeen(Dispute.OPEN, id_)
                if isinstance(dispute, Unknown):
                    return dispute
                seen.append(dispute)
        return decisive(seen)

    def page(self, since: datetime, after: str | None) -> Page | Unknown:
        """It takes PayPal up to three hours to list a refund: those hours before ``since`` are read once more."""
        with within(self._seconds):
            return page(self._api, since, after)

    def _capture(self, charge: str) -> Capture | Unknown:
        if not ID.fullmatch(charge):
            return Unknown("This is no capture's id of PayPal's, so there is nothing to ask for.")
        reply = self._api.capture(charge)
        if isinstance(reply, Unknown):
            return reply
        capture = read_capture(reply.document) if reply.is_fine else None
        if capture is None or capture.id != charge:
            return Unknown(f"PayPal answered {reply.status}, with nothing to read about this capture.")
        return capture

    def _refunds(self, capture: Capture) -> list[Refund] | Unknown:
        """What was refunded of it. PayPal's list has up to three hours' delay, so it is asked when no order tells."""
        refunds = self._listed_in_order(capture)
        if isinstance(refunds, Unknown) or capture.is_untouched:
            return refunds
        if any(refund.standing is not Standing.FAILED for refund in refunds):
            return refunds
        more = refunds_about(self._api, capture.id, capture.changed)
        return more if isinstance(more, Unknown) else refunds + more

    def _listed_in_order(self, capture: Capture) -> list[Refund] | Unknown:
        """The refunds of this capture that its order lists; none where there is no order, or PayPal keeps it no more."""
        if capture.order is None:
            return []
        reply = self._api.order(capture.order)
        if isinstance(reply, Unknown):
            return reply
        if reply.status == HTTPStatus.NOT_FOUND and reply.code:
            return []
        refunds = _refunds_in(reply.document, capture.id) if reply.is_fine else None
        return refunds if refunds is not None else Unknown("The order that PayPal shows cannot be read.")

    def _outcome(self, dispute: str) -> DisputeSeen | Unknown:
        reply = self._api.dispute(dispute)
        if isinstance(reply, Unknown):
            return reply
        outcome = reply.document.get("dispute_outcome") if reply.is_fine else None
        code = outcome.get("outcome_code") if type(outcome) is dict else None
        if reply.document.get("dispute_id") != dispute or type(code) is not str:
            return Unknown("The dispute that PayPal shows cannot be read.")
        return DisputeSeen(OUTCOMES.get(code, Dispute.LOST), dispute)


def _refused(reply: Reply) -> Declined | Unknown:
    if reply.status < HTTPStatus.BAD_REQUEST or reply.code is None:
        return Unknown(f"PayPal answered {reply.status}, which does not say whether it refunded.")
    return Declined(CODES.get(reply.code, Refusal.PERMANENT), reply.code)


def _refunds_in(order: dict[str, Any], charge: str) -> list[Refund] | None:
    """All of them, or nothing: one that cannot be read may be the very one that we look for."""
    try:
        payments = [unit.get("payments") or {} for unit in order["purchase_units"]]
        captures = [capture["id"] for kept in payments for capture in kept.get("captures") or []]
        rows = [row for kept in payments for row in kept.get("refunds") or []]
    except (KeyError, TypeError, AttributeError):
        return None
    refunds = [refund for row in rows if (refund := read_refund(row))]
    if len(refunds) != len(rows) or charge not in captures:
        return None
    return [refund for refund in refunds if refund.charge == charge]


def _disputes(reply: Reply | Unknown) -> list[tuple[str, bool]] | Unknown:
    """Each dispute's id, and whether it is resolved; PayPal lists the newest first."""
    if isinstance(reply, Unknown):
        return reply
    rows, links = reply.document.get("items", []), reply.document.get("links")
    try:
        listed = [(row["dispute_id"], row["status"] == "RESOLVED") for row in rows]
        sound = reply.is_fine and all(_DISPUTE.fullmatch(id_) for id_, _ in listed)
        whole = (links is not None or "items" in reply.document) and not any(
            link["rel"] == "next" for link in links or []
        )
    except (KeyError, TypeError, AttributeError):
        return Unknown("PayPal's list of disputes cannot be read.")
    return listed if sound and whole else Unknown("PayPal's list of disputes cannot be read, or has no end.")
