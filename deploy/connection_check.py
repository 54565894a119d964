#!/usr/bin/env -S python -IS
"""Health check of a container without a web server: `connection_check.py [PORT ...]` exits with 0 or 1.

It exits with 0 if process 1 runs and the container has a connection to each of the ports. It only reads
/proc, so it needs little time.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

ESTABLISHED = "01"  # the code in /proc/net/tcp
DEAD = frozenset("TtXZ")  # stopped, traced, dead, zombie


def is_running(proc: Path, pid: int = 1) -> bool:
    """Return whether this process runs or sleeps.

    In the file ``stat``, the state stands after the name of the process. The name may contain any character, even ``)``.
    """
    try:
        state = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in DEAD


def connected_ports(proc: Path) -> set[int]:
    """Return the remote ports of the established connections of this container (its network namespace)."""
    ports = set()
    for table in ("tcp", "tcp6"):
        file = proc / "net" / table
        for line in file.read_text().splitlines()[1:] if file.exists() else ():
            _, _, remote, state, *_ = line.split()
            if state == ESTABLISHED:
                ports.add(int(remote.rpartition(":")[2], 16))
    return ports


def fault(ports: Iterable[int], proc: Path = Path("/proc")) -> str:
    """Return the faults as text, which `docker inspect` shows. The text is empty if there is no fault."""
    faults = [] if is_running(proc) else ["Process 1 does not run."]
    faults += [f"There is no connection to port {port}." for port in sorted(set(ports) - connected_ports(proc))]
    return "\n".join(faults)


if __name__ == "__main__":
    sys.exit(fault(map(int, sys.argv[1:])) or 0)
