"""An adapter that does not check its rights itself reads each list that its provider has."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.providers import AccessRight, Capabilities, DisputePage, PurchasePage, RefundPage, Unknown
from worker.providers.capability_defaults import CapabilityDefaults

REFUSED = Unknown("The provider answered 403.")


class Provider(CapabilityDefaults):
    """A provider with lists. A list that is not in ``readable`` is refused."""

    def __init__(self, *readable: str, lists_refunds: bool = True, lists_others: bool = True) -> None:
        self.capabilities = Capabilities(
            idempotency_key_ttl=timedelta(hours=1),
            lists_refunds=lists_refunds,
            lists_disputes=lists_others,
            lists_purchases=lists_others,
        )
        self._readable = readable
        self.reads: list[str] = []

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        return RefundPage(()) if self._read("refunds", since, after) else REFUSED

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        return DisputePage(()) if self._read("disputes", since, after) else REFUSED

    def purchases(self, since: datetime, after: str | None) -> PurchasePage | Unknown:
        return PurchasePage(()) if self._read("payments", since, after) else REFUSED

    def _read(self, kind: str, since: datetime, after: str | None) -> bool:
        assert after is None
        assert timedelta(0) < datetime.now(UTC) - since <= timedelta(hours=2), "only a short list is read"
        self.reads.append(kind)
        return kind in self._readable


@pytest.mark.parametrize(
    ("readable", "missing"),
    [
        (("refunds", "disputes", "payments"), set()),
        (("refunds", "payments"), {AccessRight.READ_DISPUTES}),
        (("disputes", "payments"), {AccessRight.READ_REFUNDS}),
        ((), {AccessRight.READ_REFUNDS, AccessRight.READ_DISPUTES, AccessRight.READ_PAYMENTS}),
    ],
)
def test_a_list_that_is_refused_is_a_missing_right(readable: tuple[str, ...], missing: set[AccessRight]) -> None:
    assert Provider(*readable).check_access() == dict.fromkeys(missing, REFUSED.why)


@pytest.mark.parametrize(
    ("lists_refunds", "lists_others", "reads"),
    [(True, False, ["refunds"]), (False, True, ["disputes", "payments"]), (False, False, [])],
)
def test_only_the_lists_that_the_provider_has_are_read(
    lists_refunds: bool, lists_others: bool, reads: list[str]
) -> None:
    provider = Provider(lists_refunds=lists_refunds, lists_others=lists_others)
    assert len(provider.check_access()) == len(reads)
    assert provider.reads == reads
