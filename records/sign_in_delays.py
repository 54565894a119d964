"""Store how often sign-ins failed, and delay further attempts. A delay grows with each failure and always ends."""

from collections.abc import Mapping

from records.transaction import Transaction

FORGET_AFTER = 86_400  # seconds; a day without a failure ends the count
FIRST_DELAY = 30  # seconds; a user hardly notices it, and it is longer than a busy machine takes to check a password
MAX_DELAY = 900  # seconds; at most 96 guesses a day, and a user who is kept waiting still gets in the same hour

_ACQUIRE = f"""
with counted as (
  select key, free from unnest(cast(:keys as bytea[]), cast(:frees as int[])) as c(key, free)
), blocked as (
  select from desk_sign_in_delays join counted using (key) where blocked_until > now()
), old as (
  delete from desk_sign_in_delays where failed_at < now() - make_interval(secs => {FORGET_AFTER}) and key <> all(:keys)
)
insert into desk_sign_in_delays as d (key, failures, failed_at, blocked_until)
select key, 1, now(), now() from counted where not exists (select from blocked) order by key
on conflict (key) do update
  set failures = case when d.failed_at < now() - make_interval(secs => {FORGET_AFTER}) then 1 else d.failures + 1 end,
      failed_at = now(),
      blocked_until = now() + make_interval(secs => (
        select case when d.failures < free then 0
                    else least({MAX_DELAY}, {FIRST_DELAY} * 2 ^ least(10, d.failures - free)) end
          from counted c where c.key = excluded.key))
  where d.blocked_until <= now()
returning key
"""
"""Count an attempt as failed before its password is checked, so that parallel attempts are counted, too.

After ``free`` failures, each further failure doubles the delay.
"""

_SECONDS_LEFT = """
select coalesce(ceil(extract(epoch from max(blocked_until) - now())), 0) from desk_sign_in_delays where key = any(:keys)
"""

_CLEAR = "delete from desk_sign_in_delays where key = any(:keys)"

_UNCOUNT = """
update desk_sign_in_delays set failures = failures - 1, blocked_until = now() where key = any(:keys)
"""


class SignInDelays:
    """The table ``desk_sign_in_delays``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def acquire(self, counted: Mapping[bytes, int]) -> int:
        """Count one attempt for each key, and return 0; or count nothing, and return the seconds until the next attempt.

        ``counted`` has the number of failures without a delay for each key.
        """
        keys, frees = list(counted), list(counted.values())
        rows = self._work.run(_ACQUIRE, keys=keys, frees=frees).all()
        if len(rows) == len(keys):
            return 0
        return max(1, int(self._work.run(_SECONDS_LEFT, keys=keys).scalar_one()))

    def clear(self, keys: list[bytes]) -> None:
        """Remove the counts of these keys after a successful sign-in."""
        self._work.run(_CLEAR, keys=keys)

    def uncount(self, keys: list[bytes]) -> None:
        """Subtract a successful attempt from the counts of these keys. Their earlier failures still count."""
        self._work.run(_UNCOUNT, keys=keys)
