"""Delivers the providers' webhooks. A webhook may be late, repeated, lost or false."""

from dataclasses import replace
from typing import TYPE_CHECKING

from domain.providers import Failed, Lookup, Paid, Pending
from domain.webhook_events import WebhookEvent
from tests.simulation.clock import Killed
from tests.simulation.faults import HOUR, MINUTE
from tests.simulation.provider import Provider

if TYPE_CHECKING:
    from tests.simulation.scenario import World

MAX_TRIES = 20  # the maximum number of times that a provider sends an event again after an error


class Webhooks:
    """The connection from the providers to the webhook endpoint."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def send(self, provider: Provider, webhook_event: WebhookEvent) -> None:
        """Deliver a webhook event. A fault may make it late, repeat it, lose it, or add an event with a false status."""
        rng, faults = self._world.random, self._world.faults
        if provider.capabilities.lookup is Lookup.BY_KEY and faults.happens("webhook_false"):
            self._send_false_status(provider, webhook_event)
        if faults.happens("webhook_lost"):
            return
        for _ in range(1 + (rng.choice([1, 3]) if faults.happens("webhook_repeated") else 0)):
            max_delay = rng.choice([MINUTE, HOUR, 12 * HOUR]) if faults.happens("webhook_late") else 2.0
            self._world.clock.later(rng.random() * max_delay, self._world.web, self._store, provider, webhook_event, 0)

    def _send_false_status(self, provider: Provider, webhook_event: WebhookEvent) -> None:
        """Deliver a signed webhook with a false status. Only a lookup can show that the status is false."""
        if isinstance(webhook_event.reported, Paid | Pending | Failed) and webhook_event.refund_id in provider.refunds:
            money = provider.refunds[webhook_event.refund_id].amount
            is_paid = self._world.random.random() < 0.5
            refund_id = webhook_event.refund_id
            false_status = Paid(refund_id, money) if is_paid else Failed(refund_id, "false")
            false_event = replace(
                webhook_event,
                event_id=f"{webhook_event.event_id} false {self._world.random.random()}",
                reported=false_status,
            )
            self._world.clock.later(
                self._world.random.random() * HOUR,
                self._world.web,
                self._store,
                provider,
                false_event,
                MAX_TRIES,  # no tries remain, so a false event is not sent again
            )

    def _store(self, provider: Provider, webhook_event: WebhookEvent, tries: int) -> None:
        """Store a webhook event. After an error, the provider sends the event again later."""
        try:
            with self._world.records.work() as work:
                work.webhook_events.keep(provider.name, [webhook_event], b"")
        except (*self._world.interleaving.database_errors, Killed):
            if tries < MAX_TRIES:
                self._world.clock.later(
                    MINUTE * 2 ** min(tries, 7),
                    self._world.web,
                    self._store,
                    provider,
                    webhook_event,
                    tries + 1,
                )
            raise
        self._world.checker.webhook_stored(provider, webhook_event)
