"""Tests of the Makefile: `make test` and `make test-slow` together run every test. `make quick` runs a part of `make test`."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
NO_PATHS: list[str] = []
"""If pytest gets no paths, it collects the tests in all folders of its setting `testpaths`."""


def selection(target: str) -> tuple[str, list[str]]:
    """Return the marker expression and the paths that a target of the Makefile passes to pytest."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pytest = r"\n\t@\$\(BIN\)/python -m pytest -m "
    found = re.search(rf'^{target}:.*{pytest}(?:"([^"]+)"|(\w+))(.*) \$\(ARGS\)$', makefile, re.MULTILINE)
    assert found, f"The target {target} does not run pytest with a marker expression."
    return found[1] or found[2], found[3].split()


def test_every_test_is_in_make_test_or_make_test_slow() -> None:
    assert selection("test") == ("not slow", NO_PATHS)
    assert selection("test-slow") == ("slow", NO_PATHS)


def test_make_quick_runs_a_part_of_make_test() -> None:
    expression, paths = selection("quick")
    assert expression == "not slow"
    assert all((ROOT / path).is_dir() for path in paths)


def test_no_pytest_setting_excludes_a_test() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert options["testpaths"] == ["tests"]
    assert not any(option.startswith(("-m", "-k", "--ignore", "--deselect")) for option in options["addopts"])
    assert "--strict-markers" in options["addopts"]


def test_the_pipeline_runs_make_test_and_make_test_slow() -> None:
    assert "for target in check test test-slow; do" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
