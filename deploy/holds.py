#!/usr/bin/env -S python -IS
"""Does process 1 live, and is a connection open to each of these ports? `holds.py [PORT ...]`: 0 yes, 1 no.

It asks the kernel and nobody else, so it costs some milliseconds and disturbs no one.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

ESTABLISHED = "01"  # as /proc/net/tcp writes it
DEAD = frozenset("TtXZ")  # stopped, traced, dead, waiting to be buried


def lives(proc: Path, pid: int = 1) -> bool:
    """Whether this process runs or sleeps. Its name, in brackets, may have any character in it."""
    try:
        state = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in DEAD


def connected(proc: Path) -> set[int]:
    """The ports that this network namespace, the container, has connections to."""
    ports = set()
    for table in ("tcp", "tcp6"):
        file = proc / "net" / table
        for line in file.read_text().splitlines()[1:] if file.exists() else ():
            _, _, remote, state, *_ = line.split()
            if state == ESTABLISHED:
                ports.add(int(remote.rpartition(":")[2], 16))
    return ports


def wrong(ports: Iterable[int], proc: Path = Path("/proc")) -> str:
    """What is wrong, for `docker inspect` to show; nothing where all is well."""
    faults = [] if lives(proc) else ["Process 1 does not run."]
    faults += [f"There is no connection to port {port}." for port in sorted(set(ports) - connected(proc))]
    return "\n".join(faults)


if __name__ == "__main__":
    sys.exit(wrong(map(int, sys.argv[1:])) or 0)
