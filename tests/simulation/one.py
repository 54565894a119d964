import sys
import time
import traceback

import structlog

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False)
from pydantic import SecretStr

from config.links import Links
from config.settings import Settings, Timers
from tests.simulation.invariants import ViolatedError
from tests.simulation.patches import patched as around
from tests.simulation.world import World

S = Settings(
    database_url=SecretStr("x"),
    broker_url=SecretStr("memory://"),
    secret_key=SecretStr("x" * 40),
    timers=Timers(confirm_seconds=3 * 86400),
)
L = Links.of(S)
a, b = int(sys.argv[1]), int(sys.argv[2])
t = time.process_time()
req = 0
steps = 0
from collections import Counter

bad = Counter()
for seed in range(a, b):
    w = World(seed, S, L, traced=b - a == 1)
    try:
        with around(w):
            w.run()
    except ViolatedError as e: 
        bad[str(e)[:3]] += 1
        print(seed, e)
    except BaseException as e:
        print(seed, "CRASH", repr(e)[:300])
        if b - a == 1:
            traceback.print_exc()
        bad["crash"] += 1
        if len(bad) > 0 and bad["crash"] > 5:
            break
    if w.clock.steps > 8000 and b - a > 1:
        print(
            "heavy",
            seed,
            w.clock.steps,
            w.clock.now / 3600,
            [
                (p.capabilities.keys_live.total_seconds() / 3600, p.capabilities.looks_up.value)
                for p in w.providers.values()
            ],
            w.faults.counts.most_common(4),
        )
    req += w.people.requests
    steps += w.clock.steps
    if b - a == 1:
        print("\n".join(w.trace))
        print(w.faults.counts, w.watch.broken)
d = time.process_time() - t
print(req, steps, bad, d, d / req * 1000, "ms/req", steps / req)
