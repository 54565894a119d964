"""The people of support. They refund payments by hand for cases that wait with support, or decline the cases."""

from typing import TYPE_CHECKING
from uuid import UUID

from domain.states import Event, State
from tests.simulation.clock import Killed
from tests.simulation.faults import DAY, HOUR
from tests.simulation.memory.tables import PurchasePaymentRow

if TYPE_CHECKING:
    from tests.simulation.scenario import World

WORKING_TIMES = (6 * HOUR, 1.6 * DAY, 5 * DAY)
"""The instants, in seconds, at which support looks at the cases."""


class Support:
    """Decides some of the cases that wait with support."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def start(self) -> None:
        """Schedule the work of support."""
        for at in WORKING_TIMES:
            self._world.clock.at(at, self._work)

    def _work(self) -> None:
        rng = self._world.random
        for case in list(self._world.records.tables.cases.values()):
            if case.state != State.WITH_SUPPORT or case.purchase_id is None:
                continue
            choice = rng.random()
            if choice < self._world.forced.get("refunds_by_hand", 0.3):
                self._refund(case.purchase_id)
            elif choice > 1 - self._world.forced.get("declines_by_hand", 0.1):
                self._world.web(self._decline, case.id)

    def _refund(self, purchase_id: UUID) -> None:
        """Refund each payment of the purchase at its provider: at once, or in two parts, or only in part."""
        rng, clock = self._world.random, self._world.clock
        for payment in self._payments(purchase_id):
            provider = self._world.providers[payment.provider]
            left = provider.charges[payment.charge].captured.minor - provider.refunded(payment.charge)
            if left < 2:
                continue
            for minor in rng.choice([(left,), (left,), (left // 2, left - left // 2), (left // 2,)]):
                clock.later(rng.random() * HOUR, provider.refund_externally, payment.charge, minor)

    def _payments(self, purchase_id: UUID) -> list[PurchasePaymentRow]:
        """Return the payments of the purchase that a provider holds."""
        return [
            row
            for row in self._world.records.tables.purchase_payments.values()
            if row.purchase_id == purchase_id
            and row.provider in self._world.providers
            and row.charge in self._world.providers[row.provider].charges
        ]

    def _decline(self, case_id: UUID) -> None:
        world = self._world
        try:
            with world.records.work() as work:
                case = work.cases.lock_one(case_id)
                if case and case.state is State.WITH_SUPPORT:
                    work.history.record([case.after(Event.SUPPORT_DECLINED, actor="support")])
        except (*world.interleaving.database_errors, Killed):
            world.clock.later(60.0, world.web, self._decline, case_id)
            raise
