"""The house: which room may know which, how long a page may be, and what is never written down."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "config", "records", "producers", "worker", "console")
LONGEST = 250  # lines; at about 200 one looks for the second noun in a file

INDEX = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|(?:index-url|find-links)[\s\"'=:]+\w+://", re.IGNORECASE
)
HOME = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+)/[\w.]|\b[A-Z]:\\Users\\", re.IGNORECASE)


def listed() -> list[Path]:
    """Every file that git tracks, or would after `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def told(pattern: re.Pattern[str]) -> list[str]:
    """Where something that this pattern describes is written down."""
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


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_longer_than_a_page_that_one_reads(package: str) -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines())
        for file in listed()
        if file.relative_to(ROOT).parts[0] == package and file.suffix != ".po"  # a catalogue is looked up in, not read
    }
    assert lengths, "There is nothing in this package."
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_file_names_an_index_of_packages() -> None:
    assert told(INDEX) == []


def test_no_file_names_somebodys_home() -> None:
    assert told(HOME) == []


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
