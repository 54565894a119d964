"""The repository: the allowed imports between packages, and texts that no file may contain."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGE_INDEX = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|(?:index-url|find-links)[\s\"'=:]+\w+://", re.IGNORECASE
)
HOME_FOLDER = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+)/[\w.]|\b[A-Z]:\\Users\\", re.IGNORECASE)


def tracked_files() -> list[Path]:
    """Return the files that git tracks, and the new files that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def matches_of(pattern: re.Pattern[str]) -> list[str]:
    """Return the file and line number of each match."""
    return [
        f"{file.relative_to(ROOT)}:{number}"
        for file in tracked_files()
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_imports_follow_the_layers() -> None:
    program = (
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    )
    checked = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_file_contains_the_address_of_a_package_index() -> None:
    assert matches_of(PACKAGE_INDEX) == []


def test_no_file_contains_the_path_of_a_home_folder() -> None:
    assert matches_of(HOME_FOLDER) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (PACKAGE_INDEX, "https://{}/simple".format("pypi" + ".org")),
        (PACKAGE_INDEX, "https://files.{}/packages/x.whl".format("pythonhosted" + ".org")),
        (PACKAGE_INDEX, "--extra-index" + "-url https://packages.example.com/simple"),
        (PACKAGE_INDEX, 'index-url = "' + 'https://packages.example.com/simple"'),
        (HOME_FOLDER, "cache: " + "/home/" + "ada/.cache"),
        (HOME_FOLDER, 'open("' + "/root/" + 'notes")'),
        (HOME_FOLDER, "/Users/" + "ada/notes"),
        (HOME_FOLDER, "C:" + "\\Users\\" + "ada"),
    ],
)
def test_a_forbidden_text_is_found(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)


@pytest.mark.parametrize("line", ["--no-emit-index-url", "https://refunds.example.com/home/page", "/var/lib/moneyback"])
def test_an_allowed_text_is_not_reported(line: str) -> None:
    assert not PACKAGE_INDEX.search(line)
    assert not HOME_FOLDER.search(line)
