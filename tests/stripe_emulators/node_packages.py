"""Installs the Stripe emulators for Node.js into pytest's cache. If the lock file changes, they are installed again."""

import fcntl
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGE_FILES = (HERE / "package.json", HERE / "package-lock.json")
_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.prefix) / "bin")])


def find_program(name: str) -> str:
    """Return the path of the program node or npm. Search PATH, and then the virtual environment."""
    if found := shutil.which(name, path=_SEARCH_PATH):
        return found
    pytest.fail(f"A Stripe emulator needs {name}, which is missing. Install Node.js 18 or newer, with npm.")


def install_packages(cache: Path) -> Path:
    """Return the folder that contains node_modules. One test process installs the packages, while other test processes wait."""
    folder = cache / sha256(b"".join(file.read_bytes() for file in PACKAGE_FILES)).hexdigest()[:16]
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder.with_suffix(".part")).rename(folder)
    return folder


def _install(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in PACKAGE_FILES:
        shutil.copy(file, folder)
    command = [find_program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    path = os.pathsep.join([str(Path(find_program("node")).parent), _SEARCH_PATH])
    result = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=600, check=False
    )
    if result.returncode:
        pytest.fail(f"npm could not install the packages of tests/stripe_emulators/package-lock.json: {result.stderr}")
    return folder
