"""`make release` in a temporary repository: version, changelog, commit, tag, wheel, sdist and SBOM."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wheel_installs import LOCKS, ROOT

CURRENT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NEXT = "7.0.0"
Release = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow


def tracked() -> list[str]:
    """Return the files that git tracks, and the new files that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return [name for name in names.split("\0") if name and (ROOT / name).is_file()]


def git(repository: Path, *arguments: str) -> str:
    identity = {
        f"GIT_{role}_{what}": "test@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    without_config = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    finished = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        env=os.environ | identity | without_config,
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a new repository. Its one commit contains the current files of Moneyback's repository."""
    copy = tmp_path / "repository"
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    git(copy, "init", "--quiet", "--initial-branch=main")
    git(copy, "config", "user.name", "A maintainer")
    git(copy, "config", "user.email", "maintainer@example.com")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "Everything")
    return copy


@pytest.fixture
def release(repository: Path) -> Release:
    def run_release(version: str = NEXT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["deploy/release.sh", version],
            cwd=repository,
            env=os.environ | {"BIN": str(Path(sys.executable).parent)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run_release


def is_unchanged(repository: Path) -> bool:
    """Return True if the repository contains no commit, no tag and no files of a release."""
    has_one_commit = git(repository, "rev-list", "--count", "HEAD").strip() == "1"
    return has_one_commit and not git(repository, "tag") and not (repository / "dist").exists()


def test_a_release_makes_a_commit_a_tag_and_three_files(repository: Path, release: Release) -> None:
    entries = re.search(
        r"## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", (ROOT / "CHANGELOG.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert entries
    finished = release()
    assert finished.returncode == 0, finished.stderr
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "show", "--no-patch", "--format=%s", f"v{NEXT}^{{commit}}") == f"Release {NEXT}\n"
    assert tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"] == NEXT
    changelog = (repository / "CHANGELOG.md").read_text()
    assert re.search(rf"## \[Unreleased\]\n\n## \[{NEXT}\] - \d{{4}}-\d\d-\d\d\n\n", changelog)
    assert entries[1].strip() in changelog
    wheel, sdist, sbom_file = (
        f"moneyback-{NEXT}-py3-none-any.whl",
        f"moneyback-{NEXT}.tar.gz",
        f"moneyback-{NEXT}.cdx.json",
    )
    assert {file.name for file in (repository / "dist").iterdir()} - {".gitignore"} == {wheel, sdist, sbom_file}
    sbom = json.loads((repository / "dist" / sbom_file).read_text())
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", "moneyback")
    listed = {component["name"]: component for component in sbom["components"]}
    assert set(re.findall(r"^([\w.-]+)==", (LOCKS / "image.txt").read_text(), re.MULTILINE)) == set(listed)
    assert all(component["version"] for component in listed.values())
    with tarfile.open(repository / "dist" / sdist) as archive:
        archived = {name.split("/", 1)[1] for name in archive.getnames()}
    assert set(tracked()) <= archived


def test_a_version_with_an_existing_tag_is_refused(repository: Path, release: Release) -> None:
    git(repository, "tag", f"v{NEXT}")
    refused = release()
    assert (refused.returncode, refused.stderr) == (2, f"The tag v{NEXT} exists already.\n")


@pytest.mark.parametrize(
    ("version", "error"),
    [
        ("", "Give the version to release"),
        ("one", "Give the version to release"),
        ("1.0", "Give the version to release"),
        ("1.0.0; rm -rf .", "Give the version to release"),
        ("0.0.1", f"The version 0.0.1 is not newer than {CURRENT}."),
    ],
)
def test_an_invalid_version_is_refused(repository: Path, release: Release, version: str, error: str) -> None:
    refused = release(version)
    assert refused.returncode == 2
    assert error in refused.stderr
    assert is_unchanged(repository)


def test_uncommitted_changes_are_refused(repository: Path, release: Release) -> None:
    (repository / "README.md").write_text("Something else.\n")
    refused = release()
    assert (refused.returncode, "uncommitted changes" in refused.stderr) == (2, True)
    assert is_unchanged(repository)


def test_an_empty_changelog_is_refused(repository: Path, release: Release) -> None:
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    git(repository, "commit", "--quiet", "--all", "--amend", "--no-edit")
    refused = release()
    assert (refused.returncode, "Describe what is new" in refused.stderr) == (2, True)
    assert is_unchanged(repository)


def test_a_release_that_cannot_be_built_is_undone(repository: Path, release: Release) -> None:
    text = (repository / "pyproject.toml").read_text()
    (repository / "pyproject.toml").write_text(text.replace('readme = "README.md"', 'readme = "NONE.md"'))
    git(repository, "commit", "--quiet", "--all", "--amend", "--no-edit")
    failed = release()
    assert (failed.returncode, "was undone" in failed.stderr) == (2, True)
    assert is_unchanged(repository)
