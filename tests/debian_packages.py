"""Programs of Debian's that some tests drive. Root installs them; anybody else is told what to install."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLICY = Path("/usr/sbin/policy-rc.d")
_PATH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin"  # where servers are, for root only
_PATIENCE = 300  # seconds for one call of apt: a browser is some hundred megabytes


class NotInstalledError(Exception):
    """A program is missing, and cannot be installed from here. Its words say how to."""


def installed(packages: str, binary: str) -> Path:
    """The path of this program, or of this file, installed from these packages (with spaces between) where that is possible.

    Raises NotInstalledError where it is not: no root, no apt, or no network.
    """
    if found := _found(binary):
        return found
    with _one_at_a_time():
        if not _found(binary) and os.geteuid() == 0 and shutil.which("apt-get"):
            _install(packages.split())
    if found := _found(binary):
        return found
    raise NotInstalledError(f"{binary} is not on this machine. To run these tests: apt-get install {packages}")


def _found(binary: str) -> Path | None:
    if Path(binary).is_absolute():
        return Path(binary) if Path(binary).exists() else None
    found = shutil.which(binary, path=_PATH)
    return Path(found) if found else None


def _install(packages: list[str]) -> None:
    command = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    with _nothing_starts():
        if not _did(*command, *packages):
            _did("apt-get", "update", "--quiet=2")  # a fresh machine knows of no packages
            _did(*command, *packages)


def _did(*command: str) -> bool:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(command, env=env, capture_output=True, timeout=_PATIENCE, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """The tests run in several processes, which all want the same program at once."""
    with (Path(tempfile.gettempdir()) / f"moneyback-apt-{os.geteuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _nothing_starts() -> Iterator[None]:
    """Debian starts a server when it is installed. The tests start their own, on this machine only."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
