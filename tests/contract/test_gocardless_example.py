"""The package of a sixth provider, docs/examples/moneyback-gocardless, is installed next to Moneyback and runs its own tests.

The package imports only the public modules of Moneyback.
"""

import ast
import json
from pathlib import Path

import pytest

from tests.wheel_installs import ROOT, Installation, build_distribution

EXAMPLE = ROOT / "docs" / "examples" / "moneyback-gocardless"
TOOLS = ("gocardless-pro", "pytest", "pluggy", "iniconfig")
PRIVATE = {"domain", "config", "records", "producers", "worker", "console", "tests"}
ACCOUNTS = {
    "MONEYBACK_PROVIDERS": "gocardless,gocardless:aurora",
    "MONEYBACK_GOCARDLESS_ACCESS_TOKEN": "live_1",
    "MONEYBACK_GOCARDLESS_AURORA_ACCESS_TOKEN": "sandbox_1",
    "MONEYBACK_GOCARDLESS_AURORA_API_BASE": "https://api-sandbox.gocardless.com",
}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return an environment with the wheels of Moneyback and of the example."""
    wheels = [build_distribution(tmp_path_factory.mktemp("dist"), "wheel", project) for project in (ROOT, EXAMPLE)]
    return Installation(tmp_path_factory.mktemp("base"), *wheels, lock="base.txt", more_packages=TOOLS)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return ACCOUNTS | {"MONEYBACK_HOME": str(tmp_path), "COLUMNS": "200"}


@pytest.mark.slow
def test_the_example_passes_its_tests_in_an_environment_of_its_own(
    installation: Installation, tmp_path: Path, env: dict[str, str]
) -> None:
    """The tests are copied, so that the installed package is tested and not the folder."""
    for file in (EXAMPLE / "tests").glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text())
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-o", f"pythonpath={tmp_path}", "-W", "error")
    finished = installation.run("-m", "pytest", *options, str(tmp_path), cwd=tmp_path, env=env, program="python")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert " passed" in finished.stdout
    assert "skipped" not in finished.stdout


@pytest.mark.slow
def test_the_provider_is_listed_with_its_accounts(
    installation: Installation, tmp_path: Path, env: dict[str, str]
) -> None:
    finished = installation.run("providers", "list", "--json", cwd=tmp_path, env=env)
    assert finished.returncode == 0, finished.stderr
    providers = {row["provider"]: row for row in json.loads(finished.stdout)}
    assert {name: row["account"] for name, row in providers.items() if row["connected"]} == {
        "gocardless": "live",
        "gocardless:aurora": "test",
    }
    assert providers["gocardless"]["routes"]["*"]["synchronous"] is False


@pytest.mark.slow
def test_without_the_package_the_error_says_what_to_install(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    wheel = build_distribution(tmp_path_factory.mktemp("dist"), "wheel")
    bare = Installation(tmp_path_factory.mktemp("bare"), wheel, lock="base.txt")
    env = {"MONEYBACK_PROVIDERS": "gocardless", "MONEYBACK_HOME": str(tmp_path), "COLUMNS": "200"}
    finished = bare.run("providers", "list", cwd=tmp_path, env=env)
    assert finished.returncode == 2
    assert "No installed package provides the payment provider gocardless. Install such a package" in finished.stderr


def test_the_example_imports_only_public_modules() -> None:
    imported = set()
    for file in EXAMPLE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported.add(str(node.module))
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    assert {name.partition(".")[0] for name in imported} & PRIVATE == set()
    assert "moneyback_plugin.testing" in imported
