"""The customers of a simulated world. They send requests, read e-mails, and confirm or cancel on the page."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.case_payments import total
from domain.emails import EmailKind
from domain.errors import KeyReusedError, NotPossibleError
from domain.money import Money
from domain.purchases import Purchase
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest, RefundScope
from domain.states import State
from producers import intake
from records.intake import Submission
from tests.simulation.clock import Killed
from tests.simulation.faults import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from tests.simulation.scenario import World

REFERENCE_FORMS: tuple[Callable[[str], str], ...] = (str, str, str, str.lower, lambda text: text.replace("-", " "))
"""The forms in which customers write a reference."""


class Customers:
    """Simulates the requests of the customers."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.random
        self.requests = 0
        self.accepted: dict[UUID, str] = {}
        """For each case id, the name of the accepted request. The name contains the request's source and idempotency key."""
        self.pages: dict[tuple[UUID, int], Money | None] = {}
        """For each case id and evaluation, the amount and the currency that the page showed."""
        self.case_ids: dict[str, UUID] = {}
        """For each name of an accepted request, the id of its case."""

    def set_up(self) -> None:
        """Schedule the requests about each purchase."""
        for sale in self._world.shops.sales:
            self._schedule_requests(sale.purchase)

    def uuid(self) -> UUID:
        """Return a UUID of version 4. The seed of the world determines the UUID."""
        return UUID(int=self._rng.getrandbits(128), version=4)

    def _schedule_requests(self, purchase: Purchase) -> None:
        world, rng = self._world, self._rng
        first_at = rng.random() ** 2 * 4 * HOUR
        for n in range(rng.choice([1, 1, 1, 2, 3])):
            submission = self._submission(purchase, n)
            at = first_at + (rng.choice([0.0, 1.0, 60.0, HOUR]) * rng.random() if n else 0.0)
            for _ in range(rng.choice([1, 1, 1, 2])):  # the same request may be sent twice, with the same key
                self.requests += 1
                world.clock.at(
                    at + rng.random() * rng.choice([0.05, 60.0]), world.web, self._send_request, submission, 0
                )

    def _submission(self, purchase: Purchase, number: int) -> Submission:
        rng = self._rng
        is_charged_twice = any(payment.duplicate for payment in purchase.payments) and rng.random() < 0.6
        request = RefundRequest.model_construct(
            email=purchase.email,
            reference=rng.choice(REFERENCE_FORMS)(purchase.reference) if rng.random() < 0.97 else "MB-unknown",
            reason=RefundReason.DUPLICATE_ORDER if is_charged_twice else RefundReason.DISSATISFIED,
            refund_scope=RefundScope.FULL if rng.random() < 0.97 else RefundScope.PARTIAL,
            comment="",
            locale="en",
        )
        channel = rng.choice(list(Channel))
        trusted = channel in {Channel.API, Channel.QUEUE} and rng.random() < 0.8
        key = f"{purchase.id} {number}" if rng.random() < 0.95 else "the same key for several requests"
        return Submission(
            id=self.uuid(),
            request=request,
            channel=channel,
            source=f"{channel}",
            key=key,
            seller_id=purchase.seller_id if trusted or rng.random() < 0.5 else None,
            trusted=trusted,
            bulk=rng.random() < 0.2,
        )

    def _send_request(self, submission: Submission, tries: int) -> None:
        world = self._world
        try:
            accepted = intake.accept_one(world.records, submission)
        except KeyReusedError:
            return
        except (*world.interleaving.database_errors, Killed):
            repeated_at = world.clock.now + self._rng.choice([1.0, 10.0, 300.0])
            world.clock.at(repeated_at, world.web, self._send_request, submission, tries + 1)
            raise
        name = f"{submission.source} {submission.key}"
        if self.case_ids.setdefault(name, accepted.id) != accepted.id:
            world.checker.report_violation(
                "I4", f"The request {name} has two cases: {self.case_ids[name]} and {accepted.id}."
            )
        self.accepted[accepted.id] = name

    def read(self, email: Any) -> None:
        """Simulate a customer who reads an e-mail, and who confirms the refund, cancels the request, or does nothing."""
        world, rng = self._world, self._rng
        if email.kind is not EmailKind.START_REFUND or rng.random() < 0.1:
            return
        respond = intake.confirm if rng.random() < 0.92 else intake.cancel
        max_delay = rng.choice([MINUTE, HOUR, DAY]) if rng.random() < 0.95 else 20 * DAY
        for _ in range(rng.choice([1, 1, 2])):
            world.clock.later(rng.random() * max_delay, self._open_page, respond, email.case)

    def _open_page(self, respond: Any, case: UUID) -> None:
        """Open the page, and choose on it after a while. The page has a choice only if the case waits for the customer."""
        with self._world.records.work() as work:
            view = work.case_views.get(case)
        if view is None or view.state is not State.AWAITING_CONFIRMATION:
            return
        seq = self._world.records.tables.cases[case].seq
        self.pages[case, seq] = total(view.payments)
        answer = partial(respond, seq=seq) if respond is intake.confirm else respond
        self._world.clock.later(self._rng.choice([1.0, HOUR]), self._world.web, self._respond, answer, case)

    def _respond(self, answer: Any, case: UUID) -> None:
        world = self._world
        try:
            answer(world.records, case)
        except NotPossibleError:
            return
        except (*world.interleaving.database_errors, Killed):
            world.clock.later(20.0, world.web, self._respond, answer, case)
            raise
