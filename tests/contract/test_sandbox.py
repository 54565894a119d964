"""The contract tests of provider adapters, run with the sandbox, and tests of the sandbox adapter.

In test names, "unknown" means that the adapter returns Unknown, because it cannot know what happened at the provider.
"""

import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.provider_accounts import SandboxAccount
from config.settings import Settings
from domain.money import Money
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedRefund,
    NotFound,
    Paid,
    PaymentProvider,
    Pending,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from tests.doubles.raw_server import SLOW_RESPONSES, UNREADABLE, Flood, drips, http_response, raw_server, resets, sends
from tests.doubles.sandbox import SHORT_TIMEOUT, TEST_TIMEOUT, SandboxProcess, sandbox_in
from tests.services import eventually
from worker.providers import connect_providers
from worker.providers.sandbox.adapter import SandboxAdapter, create_adapter
from worker.providers.sandbox.client import SandboxUrlError

T = TypeVar("T")
FIVE_EUROS = Money(500, "EUR")
TIGHT_TIMEOUT = 0.4  # seconds; for calls whose response comes too late
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class ProviderContract:
    """Tests for every provider. A subclass defines the fixtures ``provider`` and ``impatient``.

    ``impatient`` is the same provider with a short timeout.

    The prefix of a charge, such as ``ok_``, selects the provider's response.
    """

    def charge(self, kind: str) -> str:
        return f"{kind}_{uuid.uuid4().hex}"

    def test_two_calls_with_the_same_key_pay_once(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        first = provider.refund(charge, FIVE_EUROS, key=charge)
        assert isinstance(first, Paid)
        assert first.amount == FIVE_EUROS
        assert provider.refund(charge, FIVE_EUROS, key=charge) == first
        assert provider.look_up(charge, key=charge) == first

    def test_a_second_refund_of_a_charge_with_another_key_is_declined(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        paid = provider.refund(charge, FIVE_EUROS, key=charge)
        assert isinstance(paid, Paid)
        declined = provider.refund(charge, FIVE_EUROS, key=f"{charge}-again")
        assert isinstance(declined, Declined)
        assert declined.reason is DeclineReason.ALREADY_REFUNDED

    def test_an_external_refund_is_found(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        paid = provider.refund(charge, FIVE_EUROS, key=f"{charge}-elsewhere")
        assert isinstance(paid, Paid)
        assert provider.look_up(charge, key=charge) == ExternalRefund(paid.refund_id, FIVE_EUROS)

    def test_the_key_of_an_earlier_refund_is_declined_for_another_charge(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), Paid)
        declined = provider.refund(self.charge("ok"), FIVE_EUROS, key=charge)
        assert isinstance(declined, Declined)
        assert declined.reason is DeclineReason.PERMANENT

    def test_the_lookup_of_a_charge_without_a_refund_finds_nothing(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        assert provider.look_up(charge, key=charge) == NotFound()

    def test_a_timeout_is_an_unknown_result_and_not_a_decline(
        self, provider: PaymentProvider, impatient: PaymentProvider
    ) -> None:
        charge = self.charge("hang")
        assert isinstance(impatient.refund(charge, FIVE_EUROS, key=charge), Unknown)
        found = provider.look_up(charge, key=charge)
        assert isinstance(found, Paid)
        assert provider.refund(charge, FIVE_EUROS, key=charge) == found

    def test_an_error_after_paying_is_unknown_and_the_lookup_finds_the_refund(self, provider: PaymentProvider) -> None:
        charge = self.charge("fail500")
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), Unknown)
        found = provider.look_up(charge, key=charge)
        assert isinstance(found, Paid)
        assert provider.refund(charge, FIVE_EUROS, key=charge) == found

    def test_an_error_before_paying_is_unknown_and_the_repeat_pays(self, provider: PaymentProvider) -> None:
        charge = self.charge("lost500")
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), Unknown)
        assert provider.look_up(charge, key=charge) == NotFound()
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), Paid)

    def test_a_call_repeated_after_a_rate_limit_pays(self, provider: PaymentProvider) -> None:
        charge = self.charge("busy")
        answers = [provider.refund(charge, FIVE_EUROS, key=charge) for _ in range(3)]
        assert [type(answer) for answer in answers] == [Unknown, Unknown, Paid]
        assert isinstance(answers[0], Unknown)
        assert answers[0].retry_after == 1

    def test_a_slow_response_within_the_timeout_is_paid(self, provider: PaymentProvider) -> None:
        charge = self.charge("slow")
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), Paid)

    def test_a_pending_refund_becomes_paid(self, provider: PaymentProvider) -> None:
        charge = self.charge("pending")
        pending = provider.refund(charge, FIVE_EUROS, key=charge)
        assert isinstance(pending, Pending)
        paid = eventually(lambda: _of_type(Paid, provider.look_up(charge, key=charge)))
        assert paid == Paid(pending.refund_id, FIVE_EUROS)

    @pytest.mark.parametrize(("kind", "first"), [("latefail", Paid), ("pendingfail", Pending)])
    def test_the_lookup_finds_a_later_failure(self, provider: PaymentProvider, kind: str, first: type) -> None:
        charge = self.charge(kind)
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=charge), first)
        failed = eventually(lambda: _of_type(Failed, provider.look_up(charge, key=charge)))
        assert failed
        assert (failed.code, failed.reason) == ("failed", DeclineReason.PERMANENT)

    def test_a_failed_external_refund_is_ignored(self, provider: PaymentProvider) -> None:
        charge = self.charge("latefail")
        assert isinstance(provider.refund(charge, FIVE_EUROS, key=f"{charge}-elsewhere"), Paid)
        assert eventually(lambda: _of_type(NotFound, provider.look_up(charge, key=charge)))

    @pytest.mark.parametrize(
        ("kind", "decline_reason"),
        [
            ("declined", DeclineReason.PERMANENT),
            ("closed", DeclineReason.REFUND_WINDOW_EXPIRED),
            ("disputed", DeclineReason.DISPUTED),
            ("broke", DeclineReason.INSUFFICIENT_BALANCE),
            ("early", DeclineReason.NOT_YET_REFUNDABLE),
        ],
    )
    def test_a_decline_has_its_reason(
        self, provider: PaymentProvider, kind: str, decline_reason: DeclineReason
    ) -> None:
        charge = self.charge(kind)
        declined = provider.refund(charge, FIVE_EUROS, key=charge)
        assert isinstance(declined, Declined)
        assert declined.reason is decline_reason
        assert provider.look_up(charge, key=charge) == NotFound()

    def test_fifty_callers_with_one_key_pay_once(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        answers = _call_in_parallel(lambda _: provider.refund(charge, FIVE_EUROS, key=charge))
        assert {type(answer) for answer in answers} == {Paid}
        assert len(set(answers)) == 1

    def test_fifty_callers_with_fifty_keys_pay_once(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        answers = _call_in_parallel(lambda number: provider.refund(charge, FIVE_EUROS, key=f"{charge}-{number}"))
        assert sum(isinstance(answer, Paid) for answer in answers) == 1
        decline_reasons = {answer.reason for answer in answers if isinstance(answer, Declined)}
        assert decline_reasons == {DeclineReason.ALREADY_REFUNDED}

    def test_a_replayed_error_is_recognised(self, provider: PaymentProvider) -> None:
        charge = self.charge("stored500")
        answers = [provider.refund(charge, FIVE_EUROS, key=charge) for _ in range(2)]
        assert [isinstance(answer, Unknown) and answer.replayed for answer in answers] == [False, True]

    def test_a_charge_without_a_dispute_has_the_dispute_status_none(self, provider: PaymentProvider) -> None:
        assert provider.dispute(self.charge("ok")) == DisputeStatus(Dispute.NONE)

    def test_an_open_dispute_is_returned(self, provider: PaymentProvider) -> None:
        charge = self.charge("disputed")
        provider.refund(charge, FIVE_EUROS, key=charge)
        status = provider.dispute(charge)
        assert isinstance(status, DisputeStatus)
        assert status.dispute is Dispute.OPEN
        assert status.dispute_id

    def test_a_refund_is_listed_once(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        paid = provider.refund(charge, FIVE_EUROS, key=f"key of {charge}")
        assert isinstance(paid, Paid)
        listed = [refund for refund in _list_all(provider, _an_hour_ago()) if refund.charge == charge]
        assert [(refund.refund_id, refund.amount, refund.status, refund.key) for refund in listed] == [
            (paid.refund_id, FIVE_EUROS, RefundStatus.PAID, f"key of {charge}")
        ]
        assert abs(listed[0].created_at - datetime.now(UTC)) < timedelta(minutes=5)

    def test_refunds_before_the_requested_time_are_not_listed(self, provider: PaymentProvider) -> None:
        charge = self.charge("ok")
        provider.refund(charge, FIVE_EUROS, key=charge)
        assert _list_all(provider, datetime.now(UTC) + timedelta(hours=1)) == []

    def test_idempotency_keys_are_valid_for_at_least_an_hour(self, provider: PaymentProvider) -> None:
        assert provider.capabilities.idempotency_key_ttl.total_seconds() >= 3600


@pytest.fixture
def unused_port() -> Iterator[int]:
    """Yield a port without a listener. The bound socket keeps other processes from using the port."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with sandbox_in(tmp_path_factory.mktemp("sandbox")) as process:
        yield process
        assert process.summary()["duplicates"] == 0


class TestSandbox(ProviderContract):
    @pytest.fixture
    def provider(self, process: SandboxProcess) -> PaymentProvider:
        return process.adapter()

    @pytest.fixture
    def impatient(self, process: SandboxProcess) -> PaymentProvider:
        return process.adapter(SHORT_TIMEOUT)

    def test_a_restarted_sandbox_is_reachable_again(self, tmp_path: Path) -> None:
        with sandbox_in(tmp_path) as process:
            adapter = process.adapter()
            paid = adapter.refund("ok_1", FIVE_EUROS, key="1")
            process.end()
            assert isinstance(adapter.look_up("ok_1", key="1"), Unknown)
            process.start()
            assert process.adapter().look_up("ok_1", key="1") == paid


def _of_type(kind: type[T], answer: object) -> T | None:
    return answer if isinstance(answer, kind) else None


def _call_in_parallel(call: Callable[[int], RefundResult]) -> list[RefundResult]:
    barrier = Barrier(50)

    def wait_and_call(number: int) -> RefundResult:
        barrier.wait(TEST_TIMEOUT)
        return call(number)

    with ThreadPoolExecutor(50) as threads:
        return list(threads.map(wait_and_call, range(50)))


def _an_hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


def _list_all(provider: PaymentProvider, since: datetime) -> list[ListedRefund]:
    """Return all refunds since this instant, from all pages of the list."""
    listed: list[ListedRefund] = []
    cursor: str | None = None
    while True:
        page = provider.list_refunds(since, cursor)
        assert isinstance(page, RefundPage)
        listed += page.refunds
        if (cursor := page.next_cursor) is None:
            return listed


# Unusable responses


def adapter(url: str, seconds: float = TEST_TIMEOUT) -> PaymentProvider:
    return create_adapter(SandboxAccount(url=url), provider_timeout_seconds=seconds, connections=1)


def refund(url: str, seconds: float = TEST_TIMEOUT) -> RefundResult:
    return adapter(url, seconds).refund("ok_1", FIVE_EUROS, key="case-1")


A_REFUND = {
    "id": "re_1",
    "charge": "ok_1",
    "amount": 500,
    "currency": "EUR",
    "status": "succeeded",
    "key": "case-1",
}


def test_a_valid_response_is_paid() -> None:
    """Most responses in UNUSABLE differ from this response by one fault."""
    with raw_server(sends(http_response(200, A_REFUND))) as url:
        assert refund(url) == Paid("re_1", FIVE_EUROS)


def test_a_refund_that_fails_immediately_is_failed() -> None:
    with raw_server(sends(http_response(200, A_REFUND | {"status": "failed"}))) as url:
        assert refund(url) == Failed("re_1", "failed")


UNUSABLE = UNREADABLE | {
    "another amount": http_response(200, A_REFUND | {"amount": 501}),
    "a boolean amount": http_response(200, A_REFUND | {"amount": True}),
    "an amount with decimals": http_response(200, A_REFUND | {"amount": 500.0}),
    "an amount as text": http_response(200, A_REFUND | {"amount": "500"}),
    "another currency": http_response(200, A_REFUND | {"currency": "USD"}),
    "an unknown currency": http_response(200, A_REFUND | {"currency": "€"}),
    "a list of currencies": http_response(200, A_REFUND | {"currency": ["EUR"]}),
    "another charge": http_response(200, A_REFUND | {"charge": "ok_2"}),
    "another key": http_response(200, A_REFUND | {"key": "case-2"}),
    "an unknown status": http_response(200, A_REFUND | {"status": "on its way"}),
    "a list of statuses": http_response(200, A_REFUND | {"status": ["succeeded"]}),
    "no id": http_response(200, {name: value for name, value in A_REFUND.items() if name != "id"}),
    "an empty id": http_response(200, A_REFUND | {"id": ""}),
    "a very long id": http_response(200, A_REFUND | {"id": "x" * 10_000}),
    "an id with a control character": http_response(200, A_REFUND | {"id": "re_\a"}),
    "the status 201": http_response(201, A_REFUND),
    "half a body": http_response(200, A_REFUND)[:-20],
    "an error whose code is a list": http_response(400, {"error": {"code": ["refund_declined"]}}),
    "a key in use": http_response(409, {"error": {"code": "idempotency_key_in_use"}}),
    "a server error with a decline code": http_response(500, {"error": {"code": "refund_declined"}}),
}


@pytest.mark.parametrize("response", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_response_is_unknown(response: bytes) -> None:
    with raw_server(sends(response)) as url:
        unknown = refund(url)
    assert isinstance(unknown, Unknown)
    assert unknown.why.endswith(".")
    assert (unknown.retry_after, unknown.replayed) == (None, False)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_reported(status: int) -> None:
    with raw_server(sends(http_response(status, {"error": {"code": "bad_key"}}))) as url:
        assert refund(url) == Unknown(f"The sandbox refuses our credentials: {status}.", invalid_credentials=True)


@pytest.mark.parametrize("status", [429, 503])
def test_the_retry_after_header_is_returned(status: int) -> None:
    with raw_server(sends(http_response(status, {}, "Retry-After: 17"))) as url:
        assert refund(url) == Unknown(f"The sandbox answered {status}.", retry_after=17)


def test_a_reset_connection_is_unknown() -> None:
    with raw_server(resets) as url:
        assert isinstance(refund(url), Unknown)


def test_a_refused_connection_is_unknown(unused_port: int) -> None:
    assert refund(f"http://127.0.0.1:{unused_port}") == Unknown("The sandbox cannot be reached.")


def test_reading_a_very_large_response_stops() -> None:
    flood = Flood()
    with raw_server(flood) as url:
        assert isinstance(refund(url), Unknown)
    assert flood.sent < 100_000_000


@pytest.mark.parametrize("response", SLOW_RESPONSES.values(), ids=SLOW_RESPONSES.keys())
def test_reading_a_slow_response_stops_at_the_deadline(response: bytes) -> None:
    with raw_server(drips(response, TIGHT_TIMEOUT / 10)) as url:
        assert refund(url, TIGHT_TIMEOUT) == Unknown("The sandbox did not answer within 0.4 seconds.")


def test_the_two_calls_of_a_lookup_share_one_deadline() -> None:
    with raw_server(
        drips(http_response(200, {"data": []}), TIGHT_TIMEOUT * 0.75 / len(http_response(200, {"data": []})))
    ) as url:
        assert isinstance(adapter(url, TIGHT_TIMEOUT).look_up("ok_1", key="case-1"), Unknown)


UNUSABLE_LISTS = {
    "no list": http_response(200, {"data": {}, "has_more": False}),
    "a row that is not a refund": http_response(200, {"data": [A_REFUND | {"id": 7}, 7], "has_more": False}),
    "a refund of a negative amount": http_response(200, {"data": [A_REFUND | {"amount": -1}], "has_more": False}),
    "an error": http_response(404, {"error": {"code": "not_found"}}),
    "a server's error": http_response(500, {"error": {"code": "internal"}}),
    "invalid JSON": http_response(200, b"hm?"),
}


@pytest.mark.parametrize("response", UNUSABLE_LISTS.values(), ids=UNUSABLE_LISTS.keys())
def test_an_unusable_list_is_unknown(response: bytes) -> None:
    with raw_server(sends(response)) as url:
        assert isinstance(adapter(url).look_up("ok_1", key="case-1"), Unknown)
        assert isinstance(adapter(url).list_refunds(NOW, None), Unknown)
        assert isinstance(adapter(url).dispute("ok_1"), Unknown)


def test_a_list_with_a_refund_of_another_charge_is_unknown() -> None:
    with raw_server(sends(http_response(200, {"data": [A_REFUND | {"charge": "ok_2"}]}))) as url:
        assert isinstance(adapter(url).look_up("ok_1", key="case-1"), Unknown)


INCOMPLETE_PAGES: dict[str, dict[str, object]] = {
    "no has_more field": {"data": []},
    "more rows, but no id to start after": {"data": [], "has_more": True},
    "a refund without a time": {"data": [A_REFUND], "has_more": False},
    "a refund with an impossible time": {"data": [A_REFUND | {"created": 1e300}], "has_more": False},
    "a refund with a time as text": {"data": [A_REFUND | {"created": "today"}], "has_more": False},
}


@pytest.mark.parametrize("document", INCOMPLETE_PAGES.values(), ids=INCOMPLETE_PAGES.keys())
def test_an_incomplete_page_of_refunds_is_unknown(document: object) -> None:
    with raw_server(sends(http_response(200, document))) as url:
        assert isinstance(adapter(url).list_refunds(NOW, None), Unknown)


def test_the_last_row_of_a_page_is_the_cursor_of_the_next_page() -> None:
    rows = [A_REFUND | {"created": NOW.timestamp(), "status": "pending"}, {"id": "re_2", "charge": None}]
    with raw_server(sends(http_response(200, {"data": rows, "has_more": True}))) as url:
        page = adapter(url).list_refunds(NOW, None)
    listed = ListedRefund("re_1", "ok_1", FIVE_EUROS, RefundStatus.PENDING, NOW, "case-1")
    assert page == RefundPage([listed], "re_2", skipped=1)


DISPUTES = {
    "none": ([], DisputeStatus(Dispute.NONE)),
    "won": (["won", "won"], DisputeStatus(Dispute.WON, "dp_1")),
    "lost, then won": (["lost", "won"], DisputeStatus(Dispute.LOST, "dp_0")),
    "won, then open": (["won", "open"], DisputeStatus(Dispute.OPEN, "dp_1")),
    "open, then lost": (["open", "lost"], DisputeStatus(Dispute.OPEN, "dp_0")),
}


@pytest.mark.parametrize(("statuses", "expected"), DISPUTES.values(), ids=DISPUTES.keys())
def test_the_decisive_dispute_is_returned(statuses: list[str], expected: DisputeStatus) -> None:
    rows = [{"id": f"dp_{number}", "charge": "ok_1", "status": status} for number, status in enumerate(statuses)]
    with raw_server(sends(http_response(200, {"data": rows}))) as url:
        assert adapter(url).dispute("ok_1") == expected


@pytest.mark.parametrize("row", [{"status": "unknown_status"}, {"status": ["open"]}, {"charge": "ok_2"}, {"id": 7}])
def test_an_unreadable_dispute_is_unknown(row: dict[str, object]) -> None:
    rows = [{"id": "dp_1", "charge": "ok_1", "status": "won"} | row]
    with raw_server(sends(http_response(200, {"data": rows}))) as url:
        assert isinstance(adapter(url).dispute("ok_1"), Unknown)


@pytest.mark.parametrize("status", [400, 402, 404, 409, 422])
def test_an_unknown_error_code_is_a_permanent_decline(status: int) -> None:
    with raw_server(sends(http_response(status, {"error": {"code": "moon_phase"}}))) as url:
        assert refund(url) == Declined(DeclineReason.PERMANENT, code="moon_phase")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*A_REFUND, "error", "code"]), inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(response=st.binary(max_size=200) | st.builds(http_response, st.sampled_from([200, 202, 400, 409, 500]), JSON))
def test_a_random_response_is_never_paid(response: bytes) -> None:
    with raw_server(sends(response)) as url:
        assert isinstance(refund(url, 5), Unknown | Declined)
        assert isinstance(adapter(url, 5).look_up("ok_1", key="case-1"), Unknown | NotFound)


# The connected providers


def settings_with(sandbox_url: str | None) -> Settings:
    return Settings.model_validate(
        {
            "database_url": "postgresql://db",
            "broker_url": "redis://broker",
            "secret_key": "x" * 32,
            "sandbox_url": sandbox_url,
        },
    )


def test_only_configured_providers_are_connected() -> None:
    assert connect_providers(settings_with(None)) == {}
    assert isinstance(connect_providers(settings_with("http://127.0.0.1:8790"))["sandbox"], SandboxAdapter)


@pytest.mark.parametrize("url", ["", "sandbox", "https://sandbox.example", "http://"])
def test_an_invalid_sandbox_url_is_an_error_that_names_the_setting(url: str) -> None:
    with pytest.raises(SandboxUrlError, match="MONEYBACK_SANDBOX_URL"):
        create_adapter(SandboxAccount(url=url), provider_timeout_seconds=1, connections=1)
