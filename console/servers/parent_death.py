"""Becomes a program that is told to stop when its parent is gone, even after a kill -9.

Called as: leash.py PARENT SIGNAL OWNER PROGRAM…

A script of its own instead of a preexec_fn, which would run Python between fork and exec of a process that has threads.
The kernel watches the thread that started it, not its process: start from a thread that lives long enough.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PLAIN = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)  # Python and nohup change these


def become(owner: str) -> None:
    """OWNER is uid:gid, or - to stay who we are."""
    if owner != "-":
        uid, gid = map(int, owner.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def hold(parent: int, farewell: int) -> None:
    """Only after become(): a change of user takes the leash off."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, farewell, 0, 0, 0)
    if os.getppid() != parent:  # it died before the leash held
        sys.exit(1)


def main(parent: str, farewell: str, owner: str, *program: str) -> None:
    become(owner)
    hold(int(parent), int(farewell))
    for number in PLAIN:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execv(program[0], program)  # noqa: S606 - a list, from our own console
    except OSError as trouble:
        sys.exit(f"{program[0]} cannot be started: {trouble.strerror}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
