"""The files for GitHub and Compose follow their schemas. GitHub runs only pinned actions, and pre-commit only local hooks."""

import re
from collections.abc import Callable
from importlib import import_module

import pytest
from click.testing import CliRunner, Result

from tests.wheel_installs import ROOT

GITHUB = ROOT / ".github"
Check = Callable[[str, str], Result]


@pytest.fixture(scope="module")
def check() -> Check:
    """Return a function that checks a file against a schema of the check-jsonschema package."""
    main = import_module("check_jsonschema").main  # not at the top, because the import takes seconds
    return lambda schema, file: CliRunner().invoke(main, ["--builtin-schema", f"vendor.{schema}", str(ROOT / file)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("compose-spec", "docker-compose.yml"),
        ("github-workflows", ".github/workflows/checks.yml"),
        ("dependabot", ".github/dependabot.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/bug.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/feature.yml"),
    ],
)
def test_a_file_follows_its_schema(check: Check, schema: str, file: str) -> None:
    result = check(schema, file)
    assert result.exit_code == 0, result.output


def test_a_workflow_has_only_read_permissions_and_pinned_actions() -> None:
    for file in (GITHUB / "workflows").iterdir():
        text = file.read_text()
        assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
        assert set(re.findall(r"^\s+[\w-]+: (read|write)$", text, re.MULTILINE)) == {"read"}
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", used) for used in re.findall(r"uses: (\S+)", text))
        assert "secrets." not in text


def test_every_precommit_hook_is_local() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    assert set(re.findall(r"language: (\S+)", hooks)) == {"system"}
