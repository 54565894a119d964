"""The faults of one simulated world and their rates. A random generator with the world's seed draws the rates.

In each world, about half of the faults never happen, so they cannot hide the effects of the other faults.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0

FAULTS_END = 1.5 * DAY
"""The number of seconds from the start of a world until the faults end.

After that, all accepted requests must reach a final state.
"""

MAX_RATES = {
    # processes, at each point where the simulation may switch to another task
    "kill": 0.03,
    "pause": 0.02,
    "kill_at_call": 0.2,  # the rate is high, because calls to providers are the most critical places
    "pause_at_call": 0.1,
    "long_pause": 0.0,  # a run that plants a mistake in the code may set a higher rate
    "clock_jump": 0.02,
    # the database
    "serialization_failure": 0.02,
    "commit_unknown": 0.02,
    # the broker, for each message
    "message_lost": 0.3,
    "message_repeated": 0.3,
    "message_late": 0.3,
    "publish_failed": 0.1,
    "publish_unknown": 0.1,
    "message_invented": 0.2,
    # the provider, for each call
    "connection_refused": 0.1,
    "unauthorized": 0.1,
    "lost_before": 0.15,
    "lost_after": 0.2,
    "carried_out_late": 0.15,
    "error_before": 0.1,
    "error_after": 0.15,
    "error_stored": 0.05,
    "too_many_requests": 0.1,
    "other_amount": 0.02,
    "look_up_failed": 0.2,
    "look_up_empty": 0.3,
    "adapter_error": 0.03,
    # the provider, for each refund
    "late_failure": 0.3,
    "declined": 0.1,
    "failed_at_once": 0.1,
    "refused_for_now": 0.3,
    # the provider's webhooks
    "webhook_lost": 0.3,
    "webhook_repeated": 0.4,
    "webhook_late": 0.4,
    "webhook_false": 0.2,
    # e-mails
    "email_deferred": 0.2,
    "email_outcome_unknown": 0.1,
    "email_rejected": 0.05,
}
"""The highest rate of each fault in any world. A rate is the probability that the fault happens at one opportunity."""

OUTAGES = {
    "database_unavailable": (5.0, MINUTE, 10 * MINUTE),
    "broker_unavailable": (10.0, 5 * MINUTE, 6 * HOUR),
    "broker_data_lost": (0.0,),
    "provider_down": (MINUTE, 10 * MINUTE, 10 * MINUTE, 30 * MINUTE, 30 * MINUTE, 3 * HOUR, 3 * HOUR, 30 * HOUR),
}
"""The possible durations of each outage, in seconds. A duration that is listed twice is chosen more often."""


@dataclass(slots=True)
class Faults:
    """The faults of one world, with their rates and counts."""

    random: Random
    rates: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    ended: bool = False

    @classmethod
    def draw(cls, random: Random) -> "Faults":
        """Return faults with random rates."""
        no_faults = random.random() < 0.05
        rates = {
            kind: 0.0 if no_faults or random.random() < 0.5 else max_rate * 10.0 ** -random.uniform(0, 1.5)
            for kind, max_rate in MAX_RATES.items()
        }
        return cls(random, rates)

    def happens(self, kind: str) -> bool:
        """Decide at random if the fault happens now, and count it if it happens."""
        rate = self.rates[kind]
        if not rate or self.ended or self.random.random() >= rate:
            return False
        self.counts[kind] += 1
        return True

    def count(self, kind: str) -> None:
        """Count a fault that another function injected."""
        self.counts[kind] += 1
