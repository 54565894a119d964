"""Tests of the file `moneyback` in the root of a checkout, which runs the command of the checkout's .venv."""

import shutil
import subprocess
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).parents[2] / "moneyback"
COMMAND = '#!/bin/sh\necho "$MONEYBACK_PROGRAM" "$@"\nexit 7\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder with the launcher, without .venv. The name of the folder contains a space."""
    folder = tmp_path / "my checkout"
    folder.mkdir()
    shutil.copy(LAUNCHER, folder)
    return folder


@pytest.fixture
def ready_checkout(checkout: Path) -> Path:
    """Return a folder with the launcher and a .venv, whose command prints its arguments and ends with exit code 7."""
    command = checkout / ".venv" / "bin" / "moneyback"
    command.parent.mkdir(parents=True)
    command.write_text(COMMAND)
    command.chmod(0o755)
    return checkout


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_without_a_set_up_the_launcher_says_what_to_run(checkout: Path) -> None:
    started = run("./moneyback", "cases", "list", folder=checkout)
    assert (started.returncode, started.stdout) == (2, "")
    assert started.stderr == f"Moneyback is not set up in {checkout}. Run `make setup` in this folder first.\n"


def test_the_launcher_passes_the_arguments_and_the_exit_code(ready_checkout: Path) -> None:
    started = run("./moneyback", "sellers", "add", "a", "Aurora Software", folder=ready_checkout)
    assert (started.returncode, started.stdout) == (7, "./moneyback sellers add a Aurora Software\n")


@pytest.mark.parametrize("folder", ["..", ".", "other"])
def test_the_launcher_works_from_every_folder(ready_checkout: Path, folder: str) -> None:
    (ready_checkout / "other").mkdir()
    typed = str(ready_checkout / "moneyback")
    assert run(typed, "audit", folder=ready_checkout / folder).stdout == f"{typed} audit\n"


def test_the_launcher_works_by_a_symbolic_link(ready_checkout: Path, tmp_path: Path) -> None:
    link = tmp_path / "mb"
    link.symlink_to(ready_checkout / "moneyback")
    assert run(str(link), "audit", folder=tmp_path).stdout == f"{link} audit\n"
