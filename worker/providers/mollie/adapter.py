"""Refunds through Mollie, looked up by the metadata that carries our key."""

import re
from datetime import datetime

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
from worker.providers.deadline import within
from worker.providers.disputes import decisive
from worker.providers.mollie.api import Api
from worker.providers.mollie.codes import CAPABILITIES, CODES
from worker.providers.mollie.rows import KEY, Refund, read_chargeback, read_refund, written

MOST_PAGES = 8  # of one payment's refunds: two thousand, which nobody has
_PAYMENT = re.compile(r"tr_\w{1,60}", re.ASCII)
_NO_PAYMENT = "not a payment's id"


class Mollie:
    """Our side of Mollie. Threads share it; a call has one deadline, all its pages included."""

    capabilities = CAPABILITIES

    def __init__(self, api: Api, *, provider_timeout_seconds: float) -> None:
        self._api = api
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> Answer:
        if not _PAYMENT.fullmatch(charge):  # it becomes part of an address; nothing was sent
            return Declined(Refusal.PERMANENT, _NO_PAYMENT)
        wanted = {"amount": written(amount), "description": f"Refund of {charge}", "metadata": {KEY: key}}
        with within(self._seconds):
            reply = self._api.call("POST", f"payments/{charge}/refunds", data=wanted, key=key)
        if isinstance(reply, Unknown):
            return reply
        if not reply.is_fine:
            return Declined(CODES.get(reply.detail, Refusal.PERMANENT), reply.code)
        refund = read_refund(reply.document)
        if refund is None or (refund.charge, refund.amount, refund.key) != (charge, amount, key):
            return Unknown("Mollie's answer is not about the refund that it was asked for.")
        return refund.answer()

    def look_up(self, charge: str, *, key: str) -> Found:
        """Ours by the metadata; a live refund without our key was made by somebody else."""
        refunds = self._refunds_of(charge)
        if isinstance(refunds, Unknown):
            return refunds
        live = [refund for refund in refunds if refund.standing is not Standing.FAILED]
        for refund in [*live, *refunds]:
            if refund.key == key:
                return refund.answer()
        return Elsewhere(live[0].id, live[0].amount) if live else Absent()

    def dispute(self, charge: str) -> DisputeSeen | Unknown:
        """Mollie tells of chargebacks only: the bank has the money already, so none of them is open."""
        rows = self._all(charge, "chargebacks")
        if isinstance(rows, Unknown):
            return rows
        read = [chargeback for row in rows if (chargeback := read_chargeback(row))]
        if len(read) != len(rows) or any(chargeback.charge != charge for chargeback in read):
            return Unknown("Mollie's list of chargebacks cannot be read.")
        newest_first = sorted(read, key=lambda chargeback: chargeback.at, reverse=True)
        return decisive([DisputeSeen(chargeback.dispute, chargeback.id) for chargeback in newest_first])

    def page(self, since: datetime, after: str | None) -> Page | Unknown:
        """Mollie lists the newest first and cannot be asked for a time: we stop at the first that is older."""
        with within(self._seconds):
            piece = self._api.rows("refunds", "refunds", after)
        if isinstance(piece, Unknown):
            return piece
        refunds = [refund for row in piece.rows if (refund := read_refund(row))]
        if len(refunds) != len(piece.rows):
            return Unknown("Mollie's list of refunds cannot be read.")
        wanted = [refund.listed() for refund in refunds if refund.at >= since]
        return Page(wanted, piece.after if len(wanted) == len(refunds) else None)

    def _refunds_of(self, charge: str) -> list[Refund] | Unknown:
        rows = self._all(charge, "refunds")
        if isinstance(rows, Unknown):
            return rows
        refunds = [refund for row in rows if (refund := read_refund(row))]
        if len(refunds) != len(rows) or any(refund.charge != charge for refund in refunds):
            return Unknown("Mollie's list of refunds cannot be read, or is not about this payment.")
        return refunds

    def _all(self, charge: str, kind: str) -> list[object] | Unknown:
        if not _PAYMENT.fullmatch(charge):
            return Unknown(f"This is {_NO_PAYMENT} of Mollie's, so there is nothing to ask for.")
        rows: list[object] = []
        after = None
        with within(self._seconds):
            for _ in range(MOST_PAGES):
                piece = self._api.rows(f"payments/{charge}/{kind}", kind, after)
                if isinstance(piece, Unknown):
                    return piece
                rows += piece.rows
                after = piece.after
                if after is None:
                    return rows
        return Unknown(f"The payment has more {kind} than can be read.")
