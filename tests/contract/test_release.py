"""`make release`, in a throwaway repository: version, changelog, commit, tag, wheel, sdist and the list of packages."""

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

PRESENT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NEXT = "7.0.0"
GITHUB = ROOT / ".github"
Release = Callable[..., subprocess.CompletedProcess[str]]


def tracked() -> list[str]:
    """What git tracks, or would after `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return [name for name in names.split("\0") if name and (ROOT / name).is_file()]


def git(repository: Path, *words: str) -> str:
    who = {f"GIT_{role}_{what}": "test@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    plain = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    ran = subprocess.run(
        ["git", *words], cwd=repository, env=os.environ | who | plain, capture_output=True, text=True, check=True
    )
    return ran.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit: these files, as they are now."""
    there = tmp_path / "repository"
    for name in tracked():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, there / name)
    git(there, "init", "--quiet", "--initial-branch=main")
    git(there, "config", "user.name", "A maintainer")
    git(there, "config", "user.email", "maintainer@example.com")
    git(there, "add", "--all")
    git(there, "commit", "--quiet", "--message", "Everything")
    return there


@pytest.fixture
def release(repository: Path) -> Release:
    def releasing(version: str = NEXT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["deploy/release.sh", version],
            cwd=repository,
            env=os.environ | {"BIN": str(Path(sys.executable).parent)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return releasing


def untouched(repository: Path) -> bool:
    """Whether nothing is left of a release: no commit, no tag, no change, no file."""
    one = git(repository, "rev-list", "--count", "HEAD").strip() == "1"
    return one and not git(repository, "tag") and not (repository / "dist").exists()


def test_a_release_is_a_commit_a_tag_and_three_files(repository: Path, release: Release) -> None:
    entries = re.search(
        r"## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", (ROOT / "CHANGELOG.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert entries
    done = release()
    assert done.returncode == 0, done.stderr
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "show", "--no-patch", "--format=%s", f"v{NEXT}^{{commit}}") == f"Release {NEXT}\n"
    assert tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"] == NEXT
    changelog = (repository / "CHANGELOG.md").read_text()
    assert re.search(rf"## \[Unreleased\]\n\n## \[{NEXT}\] - \d{{4}}-\d\d-\d\d\n\n", changelog)
    assert entries[1].strip() in changelog
    wheel, sdist, packages = (
        f"moneyback-{NEXT}-py3-none-any.whl",
        f"moneyback-{NEXT}.tar.gz",
        f"moneyback-{NEXT}.cdx.json",
    )
    assert {file.name for file in (repository / "dist").iterdir()} - {".gitignore"} == {wheel, sdist, packages}
    bill = json.loads((repository / "dist" / packages).read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "moneyback")
    listed = {component["name"]: component for component in bill["components"]}
    assert set(re.findall(r"^([\w.-]+)==", (LOCKS / "image.txt").read_text(), re.MULTILINE)) == set(listed)
    assert all(component["version"] for component in listed.values())
    with tarfile.open(repository / "dist" / sdist) as archive:
        inside = {name.split("/", 1)[1] for name in archive.getnames()}
    assert set(tracked()) <= inside


def test_a_version_is_released_once(repository: Path, release: Release) -> None:
    git(repository, "tag", f"v{NEXT}")
    again = release()
    assert (again.returncode, again.stderr) == (2, f"The tag v{NEXT} exists already.\n")


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("", "Give the version to release"),
        ("one", "Give the version to release"),
        ("1.0", "Give the version to release"),
        ("1.0.0; rm -rf .", "Give the version to release"),
        ("0.0.1", f"The version 0.0.1 is not newer than {PRESENT}."),
    ],
)
def test_a_version_that_cannot_be_is_refused(repository: Path, release: Release, version: str, sentence: str) -> None:
    refused = release(version)
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert untouched(repository)


def test_changes_that_are_not_committed_are_not_released(repository: Path, release: Release) -> None:
    (repository / "README.md").write_text("Something else.\n")
    refused = release()
    assert (refused.returncode, "uncommitted changes" in refused.stderr) == (2, True)
    assert untouched(repository)


def test_a_release_says_what_is_new(repository: Path, release: Release) -> None:
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n")
    git(repository, "commit", "--quiet", "--all", "--amend", "--no-edit")
    refused = release()
    assert (refused.returncode, "Describe what is new" in refused.stderr) == (2, True)
    assert untouched(repository)


def test_a_release_that_cannot_be_built_is_taken_back(repository: Path, release: Release) -> None:
    text = (repository / "pyproject.toml").read_text()
    (repository / "pyproject.toml").write_text(text.replace('readme = "README.md"', 'readme = "NONE.md"'))
    git(repository, "commit", "--quiet", "--all", "--amend", "--no-edit")
    failed = release()
    assert (failed.returncode, "was undone" in failed.stderr) == (2, True)
    assert untouched(repository)


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-workflows", "workflows/checks.yml"),
        ("dependabot", "dependabot.yml"),
        ("github-issue-config", "ISSUE_TEMPLATE/config.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/bug.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/feature.yml"),
    ],
)
def test_a_file_of_the_repository_follows_its_schema(schema: str, file: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(GITHUB / file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert checked.returncode == 0, checked.stdout


def test_a_workflow_may_read_and_runs_only_what_was_reviewed() -> None:
    for file in (GITHUB / "workflows").iterdir():
        text = file.read_text()
        assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
        assert set(re.findall(r"^\s+[\w-]+: (read|write)$", text, re.MULTILINE)) == {"read"}
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", used) for used in re.findall(r"uses: (\S+)", text))
        assert "secrets." not in text


def test_no_hook_is_downloaded() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    assert set(re.findall(r"language: (\S+)", hooks)) == {"system"}
