"""Delivers the providers' webhooks: late, repeated, lost, or with false content."""

from dataclasses import replace
from typing import TYPE_CHECKING

from domain.providers import Failed, Lookup, Paid, Pending
from domain.webhook_events import WebhookEvent
from tests.simulation.clock import Killed
from tests.simulation.faults import HOUR, MINUTE
from tests.simulation.provider import Provider

if TYPE_CHECKING:
    from tests.simulation.scenario import World


class Webhooks:
    """The webhooks from the providers to the webhook endpoint."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def send(self, provider: Provider, notice: WebhookEvent) -> None:
        """Deliver a webhook event: late, several times, or never."""
        draw, faults = self._world.random, self._world.faults
        if provider.capabilities.lookup is Lookup.BY_KEY and faults.happens("webhook_lies"):
            self._lie(provider, notice)
        if faults.happens("webhook_lost"):
            return
        for _ in range(1 + (draw.choice([1, 3]) if faults.happens("webhook_repeated") else 0)):
            late = draw.choice([MINUTE, HOUR, 12 * HOUR]) if faults.happens("webhook_late") else 2.0
            self._world.clock.later(draw.random() * late, self._world.web, self._hear, provider, notice, 0)

    def _lie(self, provider: Provider, notice: WebhookEvent) -> None:
        """Deliver a signed webhook with a false status, for a provider with lookups."""
        if isinstance(notice.reported, Paid | Pending | Failed) and notice.refund_id in provider.refunds:
            money = provider.refunds[notice.refund_id].amount
            lie: Paid | Failed
            lie = (
                Paid(notice.refund_id, money) if self._world.random.random() < 0.5 else Failed(notice.refund_id, "lie")
            )
            said = replace(notice, event_id=f"{notice.event_id} lie {self._world.random.random()}", reported=lie)
            self._world.clock.later(
                self._world.random.random() * HOUR,
                self._world.web,
                self._hear,
                provider,
                said,
                20,
            )

    def _hear(self, provider: Provider, notice: WebhookEvent, tries: int) -> None:
        """Store a webhook event, or let the provider send it again later."""
        try:
            with self._world.records.work() as work:
                work.webhook_events.keep(provider.name, [notice], b"")
        except (*self._world.seams.database_errors, Killed):
            if tries < 20:
                self._world.clock.later(
                    MINUTE * 2 ** min(tries, 7),
                    self._world.web,
                    self._hear,
                    provider,
                    notice,
                    tries + 1,
                )
            raise
        self._world.watch.told(provider, notice)
