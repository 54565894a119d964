#!/usr/bin/env python
"""Writes the version of a release into pyproject.toml and CHANGELOG.md. If the release is not possible, changes neither file."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).parents[1]
UNRELEASED = re.compile(r"^## \[Unreleased\]\n(?P<entries>.*?)(?=^## \[|\Z)", re.DOTALL | re.MULTILINE)
VERSION = re.compile(r'^version = "(?P<version>[^"]+)"$', re.MULTILINE)


def changed(project: str, changelog: str, version: str, today: str) -> tuple[str, str]:
    """Return the new texts of pyproject.toml and CHANGELOG.md, or exit with an error message."""
    present, entries = VERSION.search(project), UNRELEASED.search(changelog)
    if present is None or entries is None:
        sys.exit("pyproject.toml has no version, or CHANGELOG.md has no section [Unreleased].")
    if not entries["entries"].strip():
        sys.exit("The section [Unreleased] of CHANGELOG.md is empty. Describe what is new.")
    first = f"## [{present['version']}]" not in changelog  # the version in pyproject.toml is not released yet
    if Version(version) < Version(present["version"]) or (
        Version(version) == Version(present["version"]) and not first
    ):
        sys.exit(f"The version {version} is not newer than {present['version']}.")
    section = f"## [Unreleased]\n\n## [{version}] - {today}\n\n{entries['entries'].strip()}\n\n"
    return (
        VERSION.sub(f'version = "{version}"', project, count=1),
        UNRELEASED.sub(lambda _: section, changelog, count=1).rstrip() + "\n",
    )


if __name__ == "__main__":
    project, changelog = ROOT / "pyproject.toml", ROOT / "CHANGELOG.md"
    new = changed(project.read_text(), changelog.read_text(), sys.argv[1], f"{datetime.now(UTC):%Y-%m-%d}")
    for file, text in zip((project, changelog), new, strict=True):
        file.write_text(text)
