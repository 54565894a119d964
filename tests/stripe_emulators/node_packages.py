"""Installs the Stripe emulators that are written for Node.js, once for each lock file, into pytest's cache."""

import fcntl
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WANTED = (HERE / "package.json", HERE / "package-lock.json")
_PLACES = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.prefix) / "bin")])


def program(name: str) -> str:
    """Return the path of node or npm: the machine's own, or the one of the virtual environment."""
    if found := shutil.which(name, path=_PLACES):
        return found
    pytest.fail(f"{name} is missing, which a Stripe emulator needs: install Node.js 18 or newer, with npm.")


def installed(cache: Path) -> Path:
    """Return the folder with node_modules. Parallel test processes wait for the one that installs."""
    folder = cache / sha256(b"".join(file.read_bytes() for file in WANTED)).hexdigest()[:16]
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder.with_suffix(".part")).rename(folder)
    return folder


def _install(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in WANTED:
        shutil.copy(file, folder)
    command = [program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    path = os.pathsep.join([str(Path(program("node")).parent), _PLACES])
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        pytest.fail(f"npm could not install the packages of tests/stripe_emulators/package-lock.json: {done.stderr}")
    return folder
