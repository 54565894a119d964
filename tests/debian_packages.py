"""Installs Debian packages for tests. Only root can install packages; another user gets an error that names the packages."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLICY = Path("/usr/sbin/policy-rc.d")
_PATH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin"  # the folders of server programs
_TIMEOUT = 300  # the maximum seconds for one apt-get command; a browser's packages have several hundred megabytes


class NotInstalledError(Exception):
    """A program is missing and could not be installed. The message says which packages to install."""


def find_or_install(packages: str, binary: str) -> Path:
    """Return the path of a program or file. If it is missing, first install `packages`, which are separated by spaces.

    Raises NotInstalledError if the installation fails, for example without root, apt or network.
    """
    if path := _find(binary):
        return path
    with _apt_lock():
        if not _find(binary) and os.geteuid() == 0 and shutil.which("apt-get"):
            _install(packages.split())
    if path := _find(binary):
        return path
    raise NotInstalledError(f"{binary} is not on this machine. To run these tests: apt-get install {packages}")


def _find(binary: str) -> Path | None:
    if Path(binary).is_absolute():
        return Path(binary) if Path(binary).exists() else None
    path = shutil.which(binary, path=_PATH)
    return Path(path) if path else None


def _install(packages: list[str]) -> None:
    command = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    with _service_starts_prevented():
        if not _succeeds(*command, *packages):
            _succeeds("apt-get", "update", "--quiet=2")  # a new machine has no package lists
            _succeeds(*command, *packages)


def _succeeds(*command: str) -> bool:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(command, env=env, capture_output=True, timeout=_TIMEOUT, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@contextmanager
def _apt_lock() -> Iterator[None]:
    """Hold a lock while the block runs, because parallel test processes may install the same program."""
    with (Path(tempfile.gettempdir()) / f"moneyback-apt-{os.geteuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _service_starts_prevented() -> Iterator[None]:
    """Prevent Debian from starting the installed servers. The tests start these servers themselves, on 127.0.0.1."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
