"""What becomes of a case by each answer of a provider: waits, second operations, somebody else's refunds, other amounts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from config.settings import Settings
from domain.messages import RefundApproved, RefundOutcomeUnknown, RefundRequested, WebhookEventsReceived
from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    ExternalRefund,
    Failed,
    Lookup,
    LookupResult,
    NotFound,
    Paid,
    Pending,
    RefundResult,
    Route,
    Unknown,
)
from domain.purchases import Method
from domain.states import Event
from domain.webhook_events import Subject, WebhookEvent
from producers.intake import accept_one
from tests.doubles.scripted_provider import KEYS_FOR_A_DAY, ScriptedProvider
from tests.sample_data import a_recent_purchase, a_submission, store_seller_and_purchases
from worker import provider_client
from worker.context import WorkerContext, create_context
from worker.dispatch import handle
from worker.refunds.outcomes import MAX_ATTEMPTS

PRICE = Money(4900, "EUR")
PAID, PENDING = Paid("re_1", PRICE), Pending("re_1", PRICE)
SHORT = Declined(DeclineReason.INSUFFICIENT_BALANCE, "balance_insufficient")
LOST = Unknown("The connection was lost.")
STORED = Unknown("A stored 500.", replayed=True)
THEIRS = ExternalRefund("re_theirs", PRICE)


class Story:
    """One case, and the provider that it depends on."""

    def __init__(self, context: WorkerContext, provider: ScriptedProvider, **purchase: Any) -> None:
        self.context, self.provider = context, provider
        bought = a_recent_purchase(**purchase)
        store_seller_and_purchases(context.records, bought)
        assert (bought.amount, bought.currency) == (PRICE.minor, PRICE.currency)
        self.purchase = bought.id
        self.case = accept_one(context.records, a_submission(bought)).id
        handle(context, RefundRequested, [self.case])

    def goes_on(self, **later: float) -> "Story":
        """What a message of the sweep makes of it, after so much time."""
        with self.context.records.work() as work:
            past = {"ago": timedelta(**later)}
            work.run("update cases set lease_until = 'epoch', not_before = not_before - :ago", **past)
            work.run(
                "update refund_operations set first_sent_at = first_sent_at - :ago, last_sent_at = last_sent_at - :ago,"
                " looked_up_at = looked_up_at - :ago",
                **past,
            )
        for lane in (RefundApproved, RefundOutcomeUnknown):
            handle(self.context, lane, [self.case])
        return self

    def is_told(self, event: str) -> "Story":
        """What a webhook about the refund makes of it."""
        with self.context.records.work() as work:
            charge = work.run("select charge from purchases where id = :id", id=self.purchase).scalar_one()
            work.webhook_events.keep("sandbox", [WebhookEvent(event, Subject.REFUND, charge, "re_1")], b"")
            notices = [row.id for row in work.run("select id from webhook_events where event_id = :event", event=event)]
        handle(self.context, WebhookEventsReceived, notices)
        return self

    def is_now(self) -> str:
        with self.context.records.work() as work:
            found = work.case_views.get(self.case)
        assert found
        return found.state

    def codes(self) -> list[str]:
        with self.context.records.work() as work:
            found = work.case_views.get(self.case)
        assert found
        return [reason["code"] for reason in found.reasons]

    def one(self, statement: str) -> Any:
        with self.context.records.work() as work:
            return work.run(statement).scalar_one()


Tell = Callable[..., Story]


@pytest.fixture
def tell(settings: Settings) -> Iterator[Tell]:
    made: list[WorkerContext] = []

    def story(
        refunds: Sequence[RefundResult] = (),
        finds: Sequence[LookupResult] = (),
        *,
        can: Capabilities = KEYS_FOR_A_DAY,
        hold: int = 0,
        **purchase: Any,
    ) -> Story:
        provider = ScriptedProvider(refunds, finds, capabilities=can)
        wired = settings.model_copy(update={"sepa_hold_days": hold})
        made.append(replace(create_context(wired), providers={"sandbox": provider}))
        return Story(made[-1], provider, **purchase)

    yield story
    for context in made:
        context.call_pool.close()
        context.records.engine.dispose()


def test_a_balance_that_is_short_is_waited_for_under_a_new_key_each_time(tell: Tell) -> None:
    story = tell([SHORT, SHORT, PAID])
    assert story.is_now() == "approved"
    assert story.goes_on().is_now() == "approved"
    assert len(story.provider.keys) == 1  # its time has not come: a message more or less changes nothing
    assert story.goes_on(hours=1).is_now() == "approved"
    assert story.goes_on(hours=1).is_now() == "refunded"
    assert len(set(story.provider.keys)) == 3
    assert (
        story.one("select string_agg(status, ' ' order by attempt) from refund_operations") == "declined declined paid"
    )
    assert story.one("select count(*) from support_tasks where kind = 'insufficient_balance'") == 1


def test_a_balance_that_stays_short_goes_to_a_person(tell: Tell) -> None:
    story = tell([SHORT])
    with story.context.records.work() as work:
        work.run("update refund_operations set attempt = :most, key = 'the last'", most=MAX_ATTEMPTS - 1)
    assert story.goes_on(days=1).is_now() == "with_support"
    assert story.codes() == ["insufficient_balance"]


def test_a_payment_that_cannot_be_refunded_yet_is_refunded_later(tell: Tell) -> None:
    story = tell([Declined(DeclineReason.NOT_YET_REFUNDABLE, "charge_pending"), PAID])
    assert story.goes_on(days=1).is_now() == "refunded"


def test_a_refund_that_failed_for_want_of_money_is_made_again(tell: Tell) -> None:
    story = tell([Failed("re_0", "insufficient_funds", DeclineReason.INSUFFICIENT_BALANCE), PAID])
    assert story.goes_on(days=1).is_now() == "refunded"
    assert story.one("select refunded from purchases") == PRICE.minor


def test_a_refund_that_waits_at_the_provider_for_the_sellers_balance_is_told_to_finance(tell: Tell) -> None:
    story = tell([replace(PENDING, insufficient_balance=True)], [PAID])
    assert story.is_now() == "refund_pending"
    assert story.one("select count(*) from support_tasks where kind = 'insufficient_balance'") == 1
    assert (
        story.one("select evidence ->> 'refusal' from transitions where event = 'provider_accepted'")
        == "insufficient_balance"
    )
    assert story.goes_on(hours=1).is_now() == "refunded"


def test_a_refund_that_was_accepted_and_fails_for_want_of_money_is_made_again(tell: Tell) -> None:
    story = tell(
        [PENDING, Paid("re_2", PRICE)], [Failed("re_1", "insufficient_funds", DeclineReason.INSUFFICIENT_BALANCE)]
    )
    assert story.goes_on(hours=1).is_now() == "approved"
    assert story.one("select count(*) from support_tasks where kind = 'insufficient_balance'") == 1
    assert story.goes_on(days=1).is_now() == "refunded"
    assert len(set(story.provider.keys)) == 2


def test_credentials_that_are_refused_make_a_refund_wait_and_operators_are_told_once_a_day(tell: Tell) -> None:
    """Nothing was carried out past a closed door, so that a wrong key over a weekend is no money in unknown state."""
    story = tell([Unknown("It refuses our credentials.", invalid_credentials=True)] * 4 + [PAID])
    for _ in range(3):
        assert story.is_now() == "approved"
        story.goes_on(hours=7)
    assert story.one("select count(*) from support_tasks where kind = 'invalid_credentials'") == 1
    assert story.goes_on(days=2).is_now() == "refunded"
    assert (
        story.one("select string_agg(status, ' ' order by attempt) from refund_operations") == "declined " * 4 + "paid"
    )


def test_a_door_that_closed_after_the_first_sending_proves_nothing(tell: Tell) -> None:
    closed = Unknown("It refuses our credentials.", invalid_credentials=True)
    story = tell([LOST, closed, PAID], [NotFound()])
    assert story.goes_on(hours=1).is_now() == "refunding"
    assert story.goes_on(hours=1).is_now() == "refunded"
    assert len(set(story.provider.keys)) == 1


def test_what_there_was_no_time_to_send_is_sent_later_however_short_keys_live(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as no_time:
        no_time.setattr(provider_client, "_wait_for_rate_limit", lambda *_: False)
        story = tell(
            [PAID], can=replace(KEYS_FOR_A_DAY, idempotency_key_ttl=timedelta(hours=1), rejects_over_refund=False)
        )
    assert (story.is_now(), story.provider.keys) == ("approved", [])
    assert story.goes_on(days=3).is_now() == "refunded"


@pytest.mark.parametrize("refusal", [DeclineReason.INSUFFICIENT_BALANCE, DeclineReason.NOT_YET_REFUNDABLE])
def test_the_history_tells_for_want_of_what_a_refund_waits(tell: Tell, refusal: DeclineReason) -> None:
    story = tell([Declined(refusal, "their word")])
    assert story.one("select evidence from transitions where event = 'refund_deferred'") == {
        "code": "their word",
        "refusal": refusal.value,
    }


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (DeclineReason.DISPUTED, "dispute_open"),
        (DeclineReason.REFUND_WINDOW_EXPIRED, "provider_window_closed"),
        (DeclineReason.PERMANENT, "provider_declined"),
    ],
)
def test_a_refusal_for_good_goes_to_a_person_with_its_reason(tell: Tell, refusal: DeclineReason, code: str) -> None:
    story = tell([Declined(refusal, "their word")])
    assert (story.is_now(), story.codes()) == ("with_support", [code])
    assert story.one("select status from refund_operations") == "declined"


@pytest.mark.parametrize(
    ("refusal", "at_once", "later"),
    [
        (DeclineReason.DISPUTED, "dispute_open", "dispute_open"),
        (DeclineReason.REFUND_WINDOW_EXPIRED, "provider_window_closed", "provider_window_closed"),
        (DeclineReason.PERMANENT, "provider_declined", "returned_by_bank"),
    ],
)
def test_a_refund_that_was_made_and_failed_goes_to_a_person_with_its_reason(
    tell: Tell, refusal: DeclineReason, at_once: str, later: str
) -> None:
    """Only what was accepted before can have come back from a bank."""
    assert tell([Failed("re_0", "their word", refusal)]).codes() == [at_once]
    assert tell([PENDING], [Failed("re_1", "their word", refusal)]).goes_on(hours=1).codes() == [later]


def test_another_amount_than_was_asked_for_is_no_success(tell: Tell) -> None:
    other = Paid("re_1", Money(1, "EUR"))
    story = tell([other], [other])
    assert story.goes_on(hours=1).is_now() == "refunding"
    assert story.one("select refunded from purchases") == 0


def test_somebody_elses_refund_is_final_only_when_ours_cannot_be_under_way_any_more(tell: Tell) -> None:
    story = tell([LOST], [THEIRS])
    assert story.goes_on(hours=1).is_now() == "refunding"
    assert story.goes_on(hours=6).is_now() == "with_support"
    assert story.codes() == ["refunded_elsewhere"]
    assert story.one("select refunded from purchases") == PRICE.minor
    assert story.one("select status from refund_operations") == "declined"


def test_somebody_elses_refund_ends_the_wait_for_one_of_ours_that_was_accepted(tell: Tell) -> None:
    """Braintree accepts at once, and refuses when it settles, if the payment was refunded meanwhile."""
    story = tell([PENDING], [THEIRS])
    assert story.goes_on(hours=1).is_now() == "refund_pending"
    assert story.goes_on(hours=6).is_now() == "with_support"
    assert story.codes() == ["refunded_elsewhere"]
    assert story.one("select status from refund_operations") == "declined"


def test_it_is_final_at_once_where_the_provider_refused_our_key_because_of_it(tell: Tell) -> None:
    story = tell([Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded")], [THEIRS])
    assert story.is_now() == "refunding"
    assert story.goes_on(minutes=10).is_now() == "with_support"


def test_already_refunded_by_ourselves_is_adopted(tell: Tell) -> None:
    story = tell([Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded")], [PAID])
    assert story.goes_on(minutes=10).is_now() == "refunded"


def test_the_banks_reference_is_kept_with_the_payment_or_when_it_comes_once_and_without_a_letter(tell: Tell) -> None:
    """Card networks give it days later: a webhook makes us look, and the refund stays what it is."""
    told = replace(PAID, bank_reference="74537604221431003881865")
    kept = "select string_agg(event || ' ' || (evidence ->> 'bank_reference'), ', ') from transitions"
    story = tell([PAID], [told])
    assert story.one(kept) is None
    for event in ("ev_1", "ev_2"):
        assert story.is_told(event).is_now() == "refunded"
    assert story.one(kept) == "bank_reference_received 74537604221431003881865"
    assert story.one("select count(*) from case_emails") == 1
    assert story.one("select count(*) from webhook_events where next_action_at is not null") == 0
    assert story.one("select refunded from purchases") == PRICE.minor


def test_a_banks_reference_that_is_known_at_once_stands_beside_the_payment(tell: Tell) -> None:
    story = tell([replace(PAID, bank_reference="74537604221431003881865")])
    assert story.one("select evidence ->> 'bank_reference' from transitions where event = 'provider_paid'")


def test_what_is_certainly_absent_is_sent_again_under_the_same_key(tell: Tell) -> None:
    story = tell([LOST, PAID], [NotFound()])
    assert story.goes_on(hours=1).is_now() == "refunded"
    assert len(set(story.provider.keys)) == 1
    assert story.one("select sends from refund_operations") == 2


def test_a_repeat_that_could_not_be_sent_is_tried_again_after_longer_and_longer_pauses(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that shows what there is and takes no refunds would otherwise be asked at every sweep, day and night."""
    pause = "select extract(epoch from not_before - now())::float from cases"
    story = tell([LOST, PAID], [NotFound()])
    with monkeypatch.context() as nobody:
        nobody.setattr(provider_client, "refund", lambda *_, **__: provider_client.NotSent("Nobody was reached."))
        pauses = [story.goes_on(hours=1).one(pause) for _ in range(3)]
    assert pauses[0] > 0
    assert pauses == sorted(pauses)
    assert pauses[0] * 2 < pauses[-1]
    assert story.goes_on(hours=1).is_now() == "refunded"
    assert len(set(story.provider.keys)) == 1


def test_a_repeat_that_can_never_be_sent_is_for_a_person_after_two_days(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = tell([LOST], [NotFound()], can=replace(KEYS_FOR_A_DAY, idempotency_key_ttl=timedelta(days=90)))
    monkeypatch.setattr(provider_client, "refund", lambda *_, **__: provider_client.NotSent("Nobody was reached."))
    assert story.goes_on(hours=47).is_now() == "refunding"
    assert story.goes_on(hours=2).is_now() == "with_support"
    assert story.codes() == ["outcome_unknown"]


def test_a_stored_error_is_given_up_for_a_new_key_only_after_the_proof_of_absence(tell: Tell) -> None:
    story = tell([STORED, PAID], [NotFound()])
    for _ in range(2):
        assert story.goes_on(minutes=20).is_now() == "refunding"
    assert len(story.provider.keys) == 1  # its key would only repeat the error
    assert story.goes_on(hours=7).is_now() == "refunding"
    assert story.goes_on(hours=1).is_now() == "approved"
    assert story.goes_on().is_now() == "refunded"
    assert len(set(story.provider.keys)) == 2
    assert story.one("select string_agg(status, ' ' order by attempt) from refund_operations") == "absent paid"


def test_a_repeat_that_is_refused_does_not_end_what_was_sent_before(tell: Tell) -> None:
    """Not every provider keeps refusals under the key: the first sending may still be under way, and pay."""
    story = tell([LOST, SHORT], [NotFound(), NotFound(), PAID])
    assert story.goes_on(hours=1).is_now() == "refunding"
    assert story.goes_on(hours=1).is_now() == "refunding"
    assert story.goes_on(hours=1).is_now() == "refunded"
    assert len(story.provider.keys) == 2


def test_a_repeat_that_was_refused_gets_a_new_key_only_after_the_proof_of_absence(tell: Tell) -> None:
    story = tell([LOST, SHORT, PAID], [NotFound()])
    for _ in range(4):
        assert story.goes_on(hours=1).is_now() == "refunding"
    assert len(set(story.provider.keys)) == 1
    assert story.goes_on(hours=7).is_now() == "approved"
    assert story.goes_on().is_now() == "refunded"


def test_a_repeat_that_was_refused_is_for_a_person_where_refunds_are_not_capped(tell: Tell) -> None:
    story = tell(
        [LOST, Declined(DeclineReason.PERMANENT, "closed")],
        [NotFound()],
        can=replace(KEYS_FOR_A_DAY, rejects_over_refund=False),
    )
    for _ in range(4):
        assert story.goes_on(hours=1).is_now() == "refunding"
    assert story.goes_on(hours=7).is_now() == "with_support"
    assert (story.codes(), story.one("select status from refund_operations")) == (["provider_declined"], "declined")


def test_a_key_that_lives_an_hour_is_never_repeated(tell: Tell) -> None:
    story = tell([LOST], [NotFound()], can=replace(KEYS_FOR_A_DAY, idempotency_key_ttl=timedelta(hours=1)))
    assert story.goes_on(minutes=10).is_now() == "refunding"
    assert len(story.provider.keys) == 1


def test_looks_in_quick_succession_prove_nothing(tell: Tell) -> None:
    story = tell([STORED], [NotFound()])
    story.goes_on(hours=7)
    for _ in range(10):
        story.goes_on(minutes=1)
    assert story.is_now() == "refunding"
    assert story.one("select empty_lookups from refund_operations") <= 2


def test_where_the_provider_does_not_cap_refunds_a_stored_error_goes_to_a_person(tell: Tell) -> None:
    story = tell([STORED], [NotFound()], can=replace(KEYS_FOR_A_DAY, rejects_over_refund=False))
    for _ in range(8):
        story.goes_on(hours=7)
    assert (story.is_now(), story.codes()) == ("with_support", ["outcome_unknown"])
    assert len(story.provider.keys) == 1


@pytest.mark.parametrize("keys_live", [timedelta(hours=1), timedelta(days=1), timedelta(days=45)])
def test_money_in_unknown_state_is_a_persons_after_two_days_however_long_keys_live(
    tell: Tell, keys_live: timedelta
) -> None:
    story = tell([LOST], [LOST], can=replace(KEYS_FOR_A_DAY, idempotency_key_ttl=keys_live))
    assert story.goes_on(hours=47).is_now() == "refunding"
    assert story.goes_on(hours=2).is_now() == "with_support"
    assert story.codes() == ["outcome_unknown"]


def test_a_payment_whose_last_refund_nobody_knows_of_is_not_refunded_again_whoever_approves_it(tell: Tell) -> None:
    """And it takes nobody of its batch along."""
    story = tell([LOST], [LOST])
    assert story.goes_on(days=3).is_now() == "with_support"
    with story.context.records.work() as work:
        case = work.cases.lock_one(story.case)
        assert case
        work.history.record([case.after(Event.SUPPORT_APPROVED, actor="somebody at the desk")])
    assert story.goes_on().is_now() == "with_support"
    assert (story.codes(), len(story.provider.keys)) == (["outcome_unknown"], 1)


def test_money_in_unknown_state_tells_a_person_all_that_is_known(tell: Tell) -> None:
    story = tell([LOST], [LOST])
    assert story.goes_on(days=3).is_now() == "with_support"
    with story.context.records.work() as work:
        (task,) = work.support_tasks.list_open()
    (reason,) = task.reasons
    assert reason["code"] == "outcome_unknown"
    for word in (story.provider.keys[0], "sandbox", "49.00 EUR", "sent 1 times"):
        assert word in reason["detail"]


def test_a_provider_that_only_tells_by_webhook_is_asked_by_the_same_key(tell: Tell) -> None:
    only_tells = Capabilities(idempotency_key_ttl=timedelta(days=31), rejects_over_refund=True, lookup=Lookup.NEVER)
    story = tell([LOST, PENDING], can=only_tells)
    assert story.goes_on(hours=1).is_now() == "refund_pending"
    assert story.goes_on(days=1).is_now() == "refund_pending"
    assert (story.provider.lookups, len(story.provider.keys)) == (0, 2)
    assert story.goes_on(days=60).is_now() == "with_support"
    assert story.codes() == ["outcome_unknown"]


def test_a_direct_debit_is_held_as_long_as_a_bank_may_return_it(tell: Tell) -> None:
    story = tell([PAID], hold=56, method=Method.DIRECT_DEBIT)
    assert story.is_now() == "approved"
    assert story.goes_on(days=1).is_now() == "approved"
    assert story.one("select count(*) from transitions where event = 'put_on_hold'") == 1
    with story.context.records.work() as work:
        work.run("update purchases set charged_at = charged_at - interval '54 days'")
    assert story.goes_on(days=54).is_now() == "refunded"


def test_a_method_that_is_not_refunded_at_once_waits_for_its_time(tell: Tell) -> None:
    slow = replace(KEYS_FOR_A_DAY, routes={"credit_card": Route(minimum_delay=timedelta(days=7))})
    assert tell([PAID], can=slow).is_now() == "approved"


def test_a_window_that_closes_while_a_case_waits_is_noticed_before_the_provider_is_asked(tell: Tell) -> None:
    closing = replace(KEYS_FOR_A_DAY, routes={"credit_card": Route(window=timedelta(days=4))})
    story = tell([SHORT, PAID], can=closing)
    with story.context.records.work() as work:
        work.run("update purchases set charged_at = charged_at - interval '2 days'")
    assert story.goes_on(days=2).is_now() == "with_support"
    assert story.codes() == ["provider_window_closed"]
    assert len(story.provider.keys) == 1


def test_keys_are_the_same_whoever_makes_them_again(tell: Tell) -> None:
    """A database restored from a backup asks under the keys it asked under before."""
    story = tell([PAID])
    assert story.provider.keys == [f"mb_{UUID(str(story.case)).hex}_1"]
