"""Executes a program that gets a signal when its parent ends, even if the parent is killed with SIGKILL.

Called as: parent_death.py PARENT SIGNAL OWNER PROGRAM…
PARENT is the pid of the parent, and SIGNAL is the number of the signal. change_user() explains OWNER.

This is a script and not a preexec_fn, because Python code can deadlock between a fork and exec if the process has threads.

The kernel sends the signal when the thread that started the child ends. So start a child only from a thread that ends after
the child.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# Python or nohup may have changed the handlers of these signals.
DEFAULT_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGXFSZ,
)


def change_user(owner: str) -> None:
    """Change to the user in ``owner``, written as uid:gid. A dash keeps the current user."""
    if owner != "-":
        uid, gid = map(int, owner.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def signal_on_parent_death(parent: int, number: int) -> None:
    """Ask the kernel to send the signal when the parent ends. Call change_user() first, because it cancels such a request."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before the request reached the kernel
        sys.exit(1)


def main(parent: str, number: str, owner: str, *program: str) -> None:
    change_user(owner)
    signal_on_parent_death(int(parent), int(number))
    for default_signal in DEFAULT_SIGNALS:
        signal.signal(default_signal, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execv(program[0], program)  # noqa: S606 - a list of arguments from our own console
    except OSError as error:
        sys.exit(f"{program[0]} cannot be started: {error.strerror}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
