"""The wheel of a release contains exactly the files of the seven packages."""

import re
import subprocess
import tomllib
import zipfile
from configparser import ConfigParser
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from config.provider_accounts import OWN
from config.provider_plugins import GROUP
from tests.wheel_installs import ROOT, build_distribution

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("domain", "config", "records", "producers", "worker", "console", "moneyback_plugin")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the name and the contents of each file in the wheel."""
    with zipfile.ZipFile(build_distribution(tmp_path_factory.mktemp("dist"), "wheel")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def tracked(*folders: str) -> set[str]:
    """Return the files in these folders that git tracks, and the new files that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def info(wheel: dict[str, bytes], name: str) -> bytes:
    return wheel[f"{PROJECT['project']['name']}-{PROJECT['project']['version']}.dist-info/{name}"]


def test_the_wheel_has_exactly_the_files_of_the_seven_packages(wheel: dict[str, bytes]) -> None:
    inside = {name for name in wheel if ".dist-info/" not in name}
    assert inside == tracked(*PACKAGES)


def test_the_wheel_has_files_that_are_not_python(wheel: dict[str, bytes]) -> None:
    others = {Path(name).suffix for name in wheel if not name.endswith(".py") and ".dist-info/" not in name}
    assert {".css", ".html", ".j2", ".mako", ".sql", ".svg", ".typed"} <= others


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_marked_as_typed(wheel: dict[str, bytes], package: str) -> None:
    assert f"{package}/__init__.py" in wheel
    assert f"{package}/py.typed" in wheel


def test_there_are_no_tests_in_the_wheel(wheel: dict[str, bytes]) -> None:
    assert not [name for name in wheel if re.search(r"(^|/)(tests?|conftest)(/|\.py$|_)", name)]


def test_the_wheel_has_its_license(wheel: dict[str, bytes]) -> None:
    assert info(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert message_from_bytes(info(wheel, "METADATA"))["License-Expression"] == "MIT"


def test_the_wheel_installs_the_command(wheel: dict[str, bytes]) -> None:
    entries = ConfigParser()
    entries.read_string(info(wheel, "entry_points.txt").decode())
    assert dict(entries["console_scripts"]) == {"moneyback": "console.cli:main"}


def test_the_wheel_provides_our_own_payment_providers(wheel: dict[str, bytes]) -> None:
    entries = ConfigParser()
    entries.read_string(info(wheel, "entry_points.txt").decode())
    assert {*entries[GROUP]} == {*OWN}


def test_the_wheel_has_the_dependencies_of_the_project(wheel: dict[str, bytes]) -> None:
    metadata = message_from_bytes(info(wheel, "METADATA"))
    required = metadata.get_all("Requires-Dist", [])
    extras = PROJECT["project"]["optional-dependencies"]
    assert len([line for line in required if "extra ==" not in line]) == len(PROJECT["project"]["dependencies"])
    assert sorted(metadata.get_all("Provides-Extra", [])) == sorted(extras)
    assert all(
        any(f"extra == '{extra}'" in line for line in required) for extra, packages in extras.items() if packages
    )


@pytest.mark.parametrize(
    "package",
    ["aiosmtpd", "celery", "dkimpy", "imap-tools", "kombu", "limits", "redis", "requests", "urllib3", "uvicorn"],
)
def test_a_package_whose_private_names_we_use_has_a_maximum_version(wheel: dict[str, bytes], package: str) -> None:
    requirements = map(Requirement, message_from_bytes(info(wheel, "METADATA")).get_all("Requires-Dist", []))
    specifiers = [requirement.specifier for requirement in requirements if requirement.name == package]
    assert specifiers
    assert all({bound.operator for bound in bounds} & {"<", "~=", "=="} for bounds in specifiers)
