"""Implements the adapter of the sandbox provider."""

from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar

from config.provider_accounts import SandboxAccount
from domain.money import Money
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
    LookupResult,
    NotFound,
    PaymentProvider,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
)
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import time_limit
from worker.providers.disputes import select_deciding_dispute
from worker.providers.sandbox.client import SandboxClient, SandboxReply
from worker.providers.sandbox.codes import CAPABILITIES, CODES
from worker.providers.sandbox.resources import Refund, parse_all, parse_dispute, parse_list_entry, parse_refund

PAGE_SIZE = 100  # the maximum number of refunds on a page

Resource = TypeVar("Resource")


def create_adapter(account: SandboxAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Create the adapter for this account. Raise SandboxUrlError if the URL is not valid."""
    client = SandboxClient(account, provider_timeout_seconds=provider_timeout_seconds, connections=connections)
    return SandboxAdapter(client, provider_timeout_seconds=provider_timeout_seconds)


class SandboxAdapter(CapabilityDefaults):
    """An adapter that refunds charges through the sandbox. Thread-safe. Each method has one time limit for all its calls."""

    capabilities = CAPABILITIES

    def __init__(self, client: SandboxClient, *, provider_timeout_seconds: float) -> None:
        self._client = client
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Create the refund, and check that the reply is about this refund."""
        request = {"charge": charge, "amount": amount.minor, "currency": amount.currency}
        with time_limit(self._seconds):
            reply = self._client.create_refund(request, key=key)
        if isinstance(reply, Unknown):
            return reply
        if reply.status != HTTPStatus.OK:
            return _map_decline(reply)
        refund = parse_refund(reply.body)
        if refund is None or (refund.charge, refund.amount, refund.key) != (charge, amount, key):
            return Unknown("The sandbox's reply is not about the requested refund.")
        return refund.result()

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Find our refund by its key. A refund of the charge with another key was made outside Moneyback."""
        with time_limit(self._seconds):
            refunds = self._list_refunds(key=key) or self._list_refunds(charge=charge)
        if isinstance(refunds, Unknown):
            return refunds
        if any(refund.charge != charge for refund in refunds):
            return Unknown("The sandbox's reply is not about the requested charge.")
        own_refunds = [refund.result() for refund in refunds if refund.key == key]
        external_refunds = [
            refund.to_external_refund() for refund in refunds if refund.refund_status is not RefundStatus.FAILED
        ]
        return next(iter(own_refunds or external_refunds), NotFound())

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Return the dispute status of this charge. An open dispute takes precedence over a closed one."""

        def parse(row: Mapping[str, Any]) -> DisputeStatus | None:
            return parse_dispute(row) if row.get("charge") == charge else None

        with time_limit(self._seconds):
            disputes = _parse_list(self._client.list_disputes(charge=charge), parse)
        return disputes if isinstance(disputes, Unknown) else select_deciding_dispute(disputes[::-1])

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """List refunds, the oldest first. The sandbox cannot filter by time, so refunds from before ``since`` are left out."""
        query = {"limit": str(PAGE_SIZE)} | ({"starting_after": after} if after else {})
        with time_limit(self._seconds):
            reply = self._client.list_refunds(**query)
        if isinstance(reply, Unknown):
            return reply
        entries, has_more = _parse_list(reply, parse_list_entry), reply.body.get("has_more")
        if isinstance(entries, Unknown):
            return entries
        if type(has_more) is not bool or (has_more and not entries):
            return Unknown("The sandbox's list does not say whether another page follows.")
        whole_second = since.replace(microsecond=0)  # the sandbox's times are whole seconds
        return RefundPage(
            [entry for entry in entries if entry.created_at >= whole_second],
            entries[-1].refund_id if has_more else None,
        )

    def _list_refunds(self, **query: str) -> list[Refund] | Unknown:
        return _parse_list(self._client.list_refunds(**query), parse_refund)


def _parse_list(
    reply: SandboxReply | Unknown, parse: Callable[[dict[str, Any]], Resource | None]
) -> list[Resource] | Unknown:
    if isinstance(reply, Unknown):
        return reply
    if reply.status != HTTPStatus.OK:
        return Unknown(f"The sandbox answered {reply.status}, without a list.")
    rows = parse_all(reply.body.get("data"), parse)
    return Unknown("The sandbox's list cannot be read.") if rows is None else rows


def _map_decline(reply: SandboxReply) -> Declined | Unknown:
    if reply.status < HTTPStatus.BAD_REQUEST or reply.code is None:
        return Unknown(f"The sandbox answered {reply.status}, which does not show whether the refund was made.")
    return Declined(CODES.get(reply.code, DeclineReason.PERMANENT), reply.code)
