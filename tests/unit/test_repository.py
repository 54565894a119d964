"""The repository: which package may import which, and what no file may contain."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

INDEX = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|(?:index-url|find-links)[\s\"'=:]+\w+://", re.IGNORECASE
)
HOME = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+)/[\w.]|\b[A-Z]:\\Users\\", re.IGNORECASE)


def listed() -> list[Path]:
    """Every file that git tracks, or would after `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def places_of(pattern: re.Pattern[str]) -> list[str]:
    """Return the file and line of each match."""
    return [
        f"{file.relative_to(ROOT)}:{number}"
        for file in listed()
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_imports_go_one_way() -> None:
    program = (
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    )
    kept = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert kept.returncode == 0, kept.stdout + kept.stderr


def test_no_file_names_an_index_of_packages() -> None:
    assert places_of(INDEX) == []


def test_no_file_names_somebodys_home() -> None:
    assert places_of(HOME) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (INDEX, "https://{}/simple".format("pypi" + ".org")),
        (INDEX, "https://files.{}/packages/x.whl".format("pythonhosted" + ".org")),
        (INDEX, "--extra-index" + "-url https://packages.example.com/simple"),
        (INDEX, 'index-url = "' + 'https://packages.example.com/simple"'),
        (HOME, "cache: " + "/home/" + "ada/.cache"),
        (HOME, 'open("' + "/root/" + 'notes")'),
        (HOME, "/Users/" + "ada/notes"),
        (HOME, "C:" + "\\Users\\" + "ada"),
    ],
)
def test_what_must_not_be_written_down_is_recognised(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)


@pytest.mark.parametrize("line", ["--no-emit-index-url", "https://refunds.example.com/home/page", "/var/lib/moneyback"])
def test_what_may_be_written_down_is_left_alone(line: str) -> None:
    assert not INDEX.search(line)
    assert not HOME.search(line)
