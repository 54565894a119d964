"""Whatever is decided about a cart, from every source at once, no payment is refunded more than the customer paid.

Hypothesis chooses decisions on the desk and over the API (by HTTP), from the queue and from batches, confirmations, undos and
answers, requests that the rules refund, results of the provider, refunds by hand, webhook events and the work of the worker. Some
steps run at once, in threads. PostgreSQL is real. The provider makes every refund that it is asked for, once for each key, and
loses answers. So only Moneyback protects the seller.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, cast
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from pydantic import TypeAdapter

from config.settings import Settings
from console.servers import Servers
from domain import refund_choices, refund_parts
from domain.api_scopes import ALL_SCOPES
from domain.desk_roles import Role
from domain.desk_users import RoleGrant
from domain.errors import NotPossibleError
from domain.messages import (
    IncomingAnswer,
    IncomingDecision,
    RefundApproved,
    RefundOutcomeUnknown,
    RefundRequested,
    WebhookEventsReceived,
)
from domain.money import Money
from domain.providers import PaymentProvider, RefundStatus
from domain.refund_approvals import RefundApproval
from domain.states import State
from domain.support_decisions import OVERRULABLE, DecidedBy, Decision, DecisionStatus
from domain.webhook_events import Subject, WebhookEvent
from producers import decision_batches, decisions, queue_consumer
from producers.desk.app import app as desk_app
from producers.web.app import app as web_app
from records import Records, refund_operations
from records.audit import audit
from records.decision_batches import BatchStatus
from tests.chaos.agent_checks import CHECKS, RefundFact, read_records
from tests.chaos.desk_agents import Notes, SentConfirmation
from tests.doubles.generous_provider import DELAY, RESULTS, GenerousProvider, SameThreadCallPool
from tests.integration._web_fixtures import serve
from tests.sample_data import a_payment, a_recent_purchase, a_seller, store_seller_and_purchases
from tests.services import create_settings, empty_database, fresh_database
from tests.simulation.removed_safeguards import use_new_key, wrapped
from worker import dispatch, provider_client
from worker.context import WorkerContext
from worker.providers.rate_limiter import RateLimiter
from worker.reconciliation.run import reconcile_all

CAPTURED = {"ch_1": 7_800, "ch_2": 3_000, "ch_3": 2_000}
"""What the customer paid with each charge, in minor units. The first charge paid a cart of two purchases."""
FOUR_EYES_ABOVE, UNDO_ABOVE = Money(4_000, "EUR"), Money(2_500, "EUR")
READ: TypeAdapter[Any] = TypeAdapter(Decision)
ALWAYS = (
    "two effects of a revision",
    "stale decisions",
    "too much money",
    "refunds without approval",
    "own confirmations",
)
"""The checks of the chaos run that hold after every step. When all is settled, the books must be right, too."""


@dataclass(frozen=True)
class Site:
    """The desk and the API, which all examples share, and their database."""

    servers: Servers
    database: str
    settings: Settings
    records: Records
    desk: httpx.Client
    web: httpx.Client


@pytest.fixture(scope="module")
def site(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a running desk and a running API with a database of their own."""
    with fresh_database(servers) as database:
        options = create_settings(servers, database, tmp_path_factory.mktemp("sources"))
        options = options.model_copy(update={"desk": options.desk.model_copy(update={"totp_required": False})})
        records = Records.of(options)
        idle = patch.object(decision_batches.BatchRunner, "_run", lambda _: None)  # the steps run the batches
        with idle, serve(desk_app(options)) as desk, serve(web_app(options)) as web:
            desk.headers["origin"] = str(desk.base_url).rstrip("/")
            yield Site(servers, database, options, records, desk, web)
        records.engine.dispose()


@dataclass
class Shop:
    """A seller with three purchases, two of which are a cart. Two people of support, and everything that decides."""

    site: Site
    faults: list[str] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    hours: int = 0

    def __post_init__(self) -> None:
        empty_database(self.site.servers, self.site.database)
        self.records = self.site.records
        self.provider = GenerousProvider(CAPTURED, lambda: datetime.now(UTC) + timedelta(hours=self.hours))
        self.context = WorkerContext(
            settings=self.site.settings,
            records=self.records,
            links=cast("Any", None),
            mail_transport=cast("Any", None),
            providers={"alpha": cast("PaymentProvider", self.provider)},
            call_pool=SameThreadCallPool(),
            rate_limiter=RateLimiter(None),
            monotonic=lambda: 0.0,
        )
        first, second, third = (a_payment(provider="alpha", charge=charge) for charge in CAPTURED)
        bought = [
            (replace(first, amount=4_900), replace(second, amount=3_000)),
            (replace(first, amount=2_900),),
            (replace(third, amount=2_000),),
        ]
        self.purchases = [
            replace(
                a_recent_purchase(reference=f"MB-{number}", email="ada@example.com"),
                payments=tuple(
                    replace(payment, charged_at=datetime.now(UTC) - timedelta(days=3)) for payment in payments
                ),
            )
            for number, payments in enumerate(bought)
        ]
        old = datetime.now(UTC) - timedelta(days=60)
        self.purchases[2] = replace(self.purchases[2], purchased_at=old)
        seller = a_seller(four_eyes_above=FOUR_EYES_ABOVE, undo_above=UNDO_ABOVE)
        store_seller_and_purchases(self.records, *self.purchases, seller=seller)
        with self.records.work() as work:
            self.key = work.api_keys.create("aurora", scopes=ALL_SCOPES)[1]
            self.users = [
                work.desk_users.add(f"{name}@desk.example", name, (RoleGrant(Role.LEAD),), actor=None)
                for name in ("clara", "lea")
            ]
            self.sessions = [
                work.desk_sessions.create(cast("UUID", user), seconds=3_600, user_agent="", network="")[1]
                for user in self.users
            ]
        self.seen: dict[UUID, str] = {}
        """For each case, a revision that support saw at some time."""
        for number in (0, 2):  # the rules may still refund the other purchase of the cart
            self.request(number, "partial")
        self.work()

    # What support and customers do

    def request(self, number: int, scope: str) -> None:
        """Let the customer, signed in at the seller, ask for a refund. The rules refund a full amount without support."""
        body = {
            "email": "ada@example.com",
            "reference": f"MB-{number}",
            "reason": "dissatisfied",
            "refund_scope": scope,
            "comment": "One licence was enough.",
        }
        headers = {"authorization": f"Bearer {self.key}", "idempotency-key": uuid4().hex}
        self._note(self.site.web.post("/v1/refund-requests", json=body, headers=headers))

    def decide(self, source: str, number: int, minor: int, *, is_fresh: bool) -> None:
        """Approve an amount of a purchase (0 means all that is left), or decline with a negative amount."""
        if (case := self._case_of(number)) is None:
            return
        revision = self._revision(case) if is_fresh else self.seen.get(case, self._revision(case))
        self.seen.setdefault(case, revision)
        send = {
            "clara": self._send_to_desk,
            "lea": self._send_to_desk,
            "api": self._send_to_api,
            "queue": self._publish,
        }
        send[source](source, case, revision, minor)

    def refund(self, source: str, number: int, minor: int, result: str) -> None:
        """Approve an amount, let the other person confirm it, and let the worker refund it. The provider does ``result``."""
        self.expect(result)
        self.decide(source, number, minor, is_fresh=True)
        self.confirm("lea" if source == "clara" else "clara", number, "confirm")
        self.wait(1)
        self.work()

    def _send_to_desk(self, source: str, case: UUID, revision: str, minor: int) -> None:
        form = {"revision": revision, "nonce": uuid4().hex, "do": "decide", "reason": "Yes.", "message": "Hello."}
        form |= {f"overrule.{code}": "yes" for code in OVERRULABLE}
        form |= {
            "choice": "decline" if minor < 0 else "partial" if minor else "full",
            "amount": f"{abs(minor) / 100:.2f}",
        }
        self._post_to_desk(source, f"/cases/{case}/decisions", form)

    def _send_to_api(self, _: str, case: UUID, revision: str, minor: int) -> None:
        headers = {"authorization": f"Bearer {self.key}", "idempotency-key": uuid4().hex}
        body = {"revision": revision, "decision": a_decision(minor)}
        self._note(self.site.web.post(f"/v1/support/cases/{case}/decisions", json=body, headers=headers))

    def _publish(self, _: str, case: UUID, revision: str, minor: int) -> None:
        """Deliver a decision from the queue, twice."""
        data = {"case_id": str(case), "revision": revision, "decision": a_decision(minor)}
        body = an_event("moneyback.support_decided.v1", data)
        for _delivery in range(2):
            queue_consumer.consume(self.records, IncomingDecision.queue, body)

    def decide_batch(self, minor: int, *, is_confirmed: bool) -> None:
        """Decide all cases that are with support in one batch, and confirm the batch if needed."""
        clara, lea = (DecidedBy(id=f"user:{user}", name="") for user in self.users)
        with self.records.work() as work:
            cases = [row.id for row in work.run("select id from cases where state = :state", state=State.WITH_SUPPORT)]
        decision = READ.validate_python(a_decision(minor))
        with suppress(NotPossibleError):
            batch = decision_batches.preview(self.records, "aurora", cases, decision, by=clara)
            if decision_batches.start(self.records, batch, by=clara) is BatchStatus.PROPOSED and is_confirmed:
                decision_batches.confirm(self.records, batch, by=lea)

    def run_batches(self) -> None:
        """Let the desk decide the cases of the running batches."""
        decision_batches.run_once(self.records)

    def confirm(self, source: str, number: int, do: str) -> None:
        """Confirm or reject the decision about a purchase that waits for a second person, perhaps the own decision."""
        if (case := self._case_of(number)) and (decision := self._decision_of(case)):
            revision = self._revision(case)
            form = {"revision": revision, "do": do}
            agent = f"user:{self.users[SUPPORT.index(source)]}"
            self.notes.confirmations.append(SentConfirmation(decision, agent, revision, None))
            self._post_to_desk(source, f"/cases/{case}/decisions/{decision}/confirm", form)

    def undo(self, source: str, number: int) -> None:
        """Undo the newest decision about a purchase, if its refund still waits."""
        if (case := self._case_of(number)) and (decision := self._decision_of(case)):
            self._post_to_desk(source, f"/cases/{case}/decisions/{decision}/undo", {})

    def answer(self, number: int) -> None:
        """Let the customer add something, so that earlier revisions are outdated."""
        if case := self._case_of(number):
            body = an_event("moneyback.customer_answered.v1", {"case_id": str(case), "answer": {"text": "Please."}})
            queue_consumer.consume(self.records, IncomingAnswer.queue, body)

    # What the worker and the provider do

    def expect(self, result: str) -> None:
        """Choose what the provider does with the next refund call."""
        self.provider.next_result = result

    def work(self) -> None:
        """Evaluate requests, refund approved cases, and poll the refunds whose outcome is open."""
        for kind in (RefundRequested, RefundApproved, RefundOutcomeUnknown):
            handler = dispatch.HANDLERS[kind]
            handler.handle(
                self.context, self._ids("select id from cases where state = any(:states)", states=list(handler.states))
            )

    def wait(self, hours: int) -> None:
        """Let time pass, by making everything older. A late call is carried out within three hours."""
        self.provider.carry_out(sent_before=self.provider._clock() + timedelta(hours=hours) - DELAY)
        self.hours += hours
        with self.records.work() as work:
            for statement in _AGE:
                work.run(statement, ago=timedelta(hours=hours))

    def carry_out(self) -> None:
        """Let the provider carry out the late calls now."""
        self.provider.carry_out(sent_before=self.provider._clock() + DELAY)

    def settle(self, number: int, status: RefundStatus) -> None:
        """Let a refund fail, also a paid refund, or let a pending refund be paid."""
        for refund in self.provider.refunds_made[number : number + 1]:
            if refund.status is not RefundStatus.FAILED:
                refund.status = status

    def report(self, number: int) -> None:
        """Process a webhook event about a refund."""
        for refund in self.provider.refunds_made[number : number + 1]:
            event = WebhookEvent(f"ev_{uuid4().hex}", Subject.REFUND, refund.charge, refund.id)
            with self.records.work() as work:
                work.webhook_events.keep("alpha", [event], b"")
        ids = self._ids("select id from webhook_events where next_action_at is not null")
        dispatch.HANDLERS[WebhookEventsReceived].handle(self.context, ids)

    def refund_by_hand(self, charge: str, minor: int) -> None:
        """Refund a part in the dashboard of the provider."""
        self.provider.refund_by_hand(charge, minor)

    def reconcile(self) -> None:
        """Compare the list of the provider's refunds with the records."""
        reconcile_all(self.context, timedelta(days=30))

    def at_once(self, *steps: "Step") -> None:
        """Carry out steps in threads."""
        with ThreadPoolExecutor(len(steps)) as pool:
            for result in [pool.submit(step, self) for step in steps]:
                result.result()

    def finish(self) -> None:
        """Let everything come to its end: batches, late calls, pending refunds, events and the polling."""
        self.expect("paid")
        for hours in (7, 7, 24, 48):  # after two days, support gets a refund whose outcome is still unknown
            self.run_batches()
            for number in range(len(self.provider.refunds_made)):
                self.settle(number, RefundStatus.PAID)
                self.report(number)
            self.wait(
                hours
            )  # after the events, because an event about a case postpones its next refund for some seconds
            for _ in range(2):
                self.work()
            self.reconcile()

    # The property

    def check(self, names: Sequence[str] = ALWAYS) -> None:
        """Record what is wrong at the provider or in the books."""
        with self.records.work() as work:
            facts = read_records(work)
        facts.refunds = [
            RefundFact(refund.key or "by hand", refund.charge, refund.amount.minor)
            for refund in list(self.provider.refunds_made)
            if refund.status is not RefundStatus.FAILED
        ]
        self.faults += [fault for name in names for fault in CHECKS[name](facts, self.notes)]

    def check_end(self) -> None:
        """Record what is wrong although everything came to its end."""
        self.check((*ALWAYS, "wrong books", "forgotten cases"))
        with self.records.work() as work:
            self.faults += [fault.sentence for fault in audit(work).faults if "too long" not in fault.sentence]

    # Helpers

    def _post_to_desk(self, source: str, path: str, form: dict[str, str]) -> None:
        cookie = {"cookie": f"moneyback-desk={self.sessions[SUPPORT.index(source)]}"}
        self._note(self.site.desk.post(path, data=form, headers=cookie))

    def _note(self, answer: httpx.Response) -> None:
        if (
            answer.status_code >= 500
            or answer.status_code in {401, 403}
            or "sign-in" in answer.headers.get("location", "")
        ):
            self.faults.append(f"{answer.request.method} {answer.request.url.path}: {answer.status_code}.")

    def _ids(self, statement: str, **values: object) -> list[UUID]:
        with self.records.work() as work:
            return [row.id for row in work.run(statement, **values)]

    def _case_of(self, number: int) -> UUID | None:
        with self.records.work() as work:
            row = work.run(_NEWEST_CASE, purchase=self.purchases[number].id).one_or_none()
        return row.id if row else None

    def _decision_of(self, case: UUID) -> UUID | None:
        """Return the decision that waits for a second person, or else the newest decision."""
        with self.records.work() as work:
            decided = work.support_decisions.for_case(case)
        newest = [decision for decision in decided if decision.status is DecisionStatus.PROPOSED] or decided
        return newest[-1].id if newest else None

    def _revision(self, case: UUID) -> str:
        with self.records.work() as work:
            return str(work.support_decisions.revisions([case])[case])


_NEWEST_CASE = """
select id from cases where purchase_id = :purchase and state not in ('duplicate', 'unmatched') order by received_at desc limit 1
"""

_AGE = (
    "update cases set lease_until = 'epoch', not_before = not_before - cast(:ago as interval)",
    """
    update refund_operations set first_sent_at = first_sent_at - cast(:ago as interval),
           last_sent_at = last_sent_at - cast(:ago as interval), looked_up_at = looked_up_at - cast(:ago as interval)
    """,
    """
    update webhook_events set received_at = received_at - cast(:ago as interval),
           next_action_at = next_action_at - cast(:ago as interval), claimed_until = 'epoch'
    """,
    "update support_decisions set undo_until = undo_until - cast(:ago as interval)",
)
"""Statements that make everything older that has an instant."""


def a_decision(minor: int) -> dict[str, Any]:
    """Return a decision as JSON: approve an amount (0 means all that is left), or decline with a negative amount."""
    if minor < 0:
        return {"action": "decline", "message": "No."}
    part = {"scope": "partial", "amount": minor, "currency": "EUR"} if minor else {"scope": "full"}
    return {"action": "approve", "refund": part, "overrules": sorted(OVERRULABLE), "reason": "Yes."}


def an_event(kind: str, data: dict[str, Any]) -> bytes:
    """Return a CloudEvent of a helpdesk."""
    event = {"specversion": "1.0", "id": uuid4().hex, "source": "helpdesk/1", "type": kind, "data": data}
    return json.dumps(event).encode()


class Step:
    """A call of a method of the shop. Its representation is the call, so that an example can be read."""

    def __init__(self, method: Callable[..., None], *values: Any, **named: Any) -> None:
        self._method, self._values, self._named = method, values, named

    def __call__(self, shop: Shop) -> None:
        """Call the method."""
        self._method(shop, *self._values, **self._named)

    def __repr__(self) -> str:
        """Return the call."""
        return f"{self._method.__name__}{self._values}{self._named or ''}"


def steps_of(method: Callable[..., None], *values: Any, **named: Any) -> st.SearchStrategy[Step]:
    """Return a strategy of steps that call this method with drawn values."""
    return st.builds(Step, st.just(method), *values, **named)


SUPPORT = ("clara", "lea")
SOURCES = st.sampled_from([*SUPPORT, "api", "queue"])
NUMBERS = st.sampled_from([0, 0, 1, 1, 2])
AMOUNTS = st.sampled_from([0, 0, 1, 1_000, 1_000, 2_000, 2_000, 2_900, 4_100, -1])
RESULT = st.sampled_from(["paid", *RESULTS])
DECISIONS = steps_of(Shop.decide, SOURCES, NUMBERS, AMOUNTS, is_fresh=st.sampled_from([True, True, True, False]))
WORK = st.sampled_from([Shop.work, Shop.work, Shop.run_batches]).map(Step)
RACING = st.one_of(
    DECISIONS,
    DECISIONS,
    DECISIONS,
    DECISIONS,
    WORK,
    steps_of(Shop.decide_batch, AMOUNTS, is_confirmed=st.booleans()),
    steps_of(Shop.confirm, st.sampled_from(SUPPORT), NUMBERS, st.sampled_from(["confirm", "confirm", "reject"])),
    steps_of(Shop.undo, st.sampled_from(SUPPORT), NUMBERS),
    steps_of(Shop.answer, NUMBERS),
    steps_of(Shop.request, NUMBERS, st.sampled_from(["full", "partial"])),
)
OTHER = st.one_of(
    WORK,
    steps_of(Shop.expect, RESULT),
    steps_of(Shop.wait, st.sampled_from([1, 1, 7, 24])),
    steps_of(Shop.settle, st.integers(0, 4), st.sampled_from([RefundStatus.PAID, RefundStatus.FAILED])),
    steps_of(Shop.report, st.integers(0, 4)),
    steps_of(Shop.refund_by_hand, st.sampled_from(sorted(CAPTURED)), st.sampled_from([1, 1_000, 2_900])),
    st.sampled_from([Shop.carry_out, Shop.reconcile]).map(Step),
)
REFUNDS = steps_of(Shop.refund, SOURCES, NUMBERS, AMOUNTS, RESULT)
AT_ONCE = st.lists(RACING, min_size=2, max_size=4).map(lambda steps: Step(Shop.at_once, *steps))
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.sampled_from([RACING, REFUNDS, REFUNDS, AT_ONCE, AT_ONCE, WORK, OTHER]).flatmap(lambda kind: kind),
    min_size=8,
    max_size=12,
)


def faults_after(site: Site, steps: Sequence[Step]) -> list[str]:
    """Carry out the steps, and let everything come to its end. Return what was wrong after any step."""
    shop = Shop(site)
    for step in steps:
        step(shop)
        shop.check()
    shop.finish()
    shop.check_end()
    return shop.faults


def search(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@search(6)
@given(steps=STEPS)
def test_a_few_sequences_of_decisions_from_all_sources_refund_at_most_what_was_paid(
    site: Site, steps: list[Step]
) -> None:
    assert faults_after(site, steps) == []


@pytest.mark.slow
@search(200)
@given(steps=STEPS)
def test_no_sequence_of_decisions_from_all_sources_refunds_more_than_the_customer_paid(
    site: Site, steps: list[Step]
) -> None:
    assert faults_after(site, steps) == []


@contextmanager
def without_sums(site: Site) -> Iterator[None]:
    """Let support approve, and the database reserve, more than the customer paid."""
    condition = "and greatest(y.reserved, y.refunded) + y.refunded_elsewhere + l.amount <= l.captured"
    assert condition in refund_operations._RESERVE
    unlimited = refund_operations._RESERVE.replace(condition, "")
    with (
        owner(site) as execute,
        patch.object(refund_operations, "_RESERVE", unlimited),
        patch.object(refund_parts, "left_of", lambda payment: Money(payment.amount, payment.currency)),
        patch.object(refund_parts, "left_of_purchase", lambda purchase: Money(purchase.amount, purchase.currency)),
        patch.object(refund_choices, "left_of_purchase", lambda purchase: Money(purchase.amount, purchase.currency)),
    ):
        execute("alter table payments drop constraint payments_reserved_within_captured_check")
        try:
            yield
        finally:
            empty_database(site.servers, site.database)
            execute(
                "alter table payments add constraint payments_reserved_within_captured_check"
                " check (reserved between 0 and coalesce(captured, 0))"
            )


@contextmanager
def owner(site: Site) -> Iterator[Callable[[LiteralString], object]]:
    """Yield a function that executes a statement as the owner of the database."""
    assert site.settings.database_owner_url
    with psycopg.connect(site.settings.database_owner_url.get_secret_value(), autocommit=True) as connection:
        yield connection.execute


Plant = Callable[[Site], AbstractContextManager[object]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "found"),
    [
        pytest.param(without_sums, "the provider refunded", id="the sum is not checked"),
        pytest.param(lambda _: wrapped(provider_client, "refund", use_new_key)(), "", id="a new key for each call"),
        pytest.param(
            lambda _: patch.object(decisions, "_check_revision", lambda *_: None),
            "took effect in row",
            id="no revision",
        ),
        pytest.param(
            lambda _: patch.object(RefundApproval, "lacks_four_eyes", lambda *_: False), "alone approved", id="two eyes"
        ),
    ],
)
def test_without_a_safeguard_the_property_is_false(site: Site, plant: Plant, found: str) -> None:
    def is_wrong(steps: list[Step]) -> bool:
        return any(found in fault for fault in faults_after(site, steps))

    with ExitStack() as planted:
        planted.enter_context(plant(site))
        try:
            find(STEPS, is_wrong, settings=search(60))
        except NoSuchExample:
            pytest.fail("The property was never false, although the safeguard is removed.")
