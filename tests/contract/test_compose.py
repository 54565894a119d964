"""docker-compose.yml: what the schema of Compose says, and what it cannot: names that lead nowhere, doors left open."""

import copy
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from config.provider_accounts import ACCOUNTS
from config.rate_limits import Limits
from config.settings import Settings, Timers
from console.commands import services
from deploy import connection_check, http_check

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / "deploy" / "example.env"
Document = dict[str, Any]
Services = dict[str, Document]


def read(file: Path = FILE) -> Document:
    """The document with its anchors resolved, in plain dicts that a test may change."""
    document: Document = YAML(typ="safe", pure=True).load(file)
    return copy.deepcopy(document)


def verbs_of_console() -> dict[str, set[str]]:
    """Every verb that starts a part, with its options and the variables that it reads by itself."""
    app = typer.Typer()
    services.add_to(app)
    group: Any = typer.main.get_command(app)
    return {
        name: {word for option in command.params for word in (*option.opts, *_variables(option))}
        for name, command in group.commands.items()
    }


def variables() -> set[str]:
    """Every MONEYBACK_ variable that some part reads."""
    own = {word for words in verbs_of_console().values() for word in words if word.startswith("MONEYBACK_")}
    return settings_of_every_block() | own


def settings_of_every_block() -> set[str]:
    """Every variable of docs/settings.md."""
    blocks: tuple[type[BaseSettings], ...] = (Settings, Timers, Limits, *ACCOUNTS.values())
    names = {f"{block.model_config['env_prefix']}{field.upper()}" for block in blocks for field in block.model_fields}
    return names - {"MONEYBACK_TIMERS", "MONEYBACK_LIMITS"}


def _variables(option: Any) -> list[str]:
    found = getattr(option, "envvar", None) or []
    return [found] if isinstance(found, str) else list(found)


def faults(document: Document) -> list[str]:
    """What is wrong with this document, each in a sentence."""
    return [fault for check in CHECKS for fault in check(document)]


def waits_for_nothing(document: Document) -> Iterator[str]:
    services: Services = document["services"]
    waits = [(name, *wait) for name, service in services.items() for wait in service.get("depends_on", {}).items()]
    for name, other, how in waits:
        if other not in services:
            yield f"{name} waits for {other}, which is no service."
            continue
        if how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
            yield f"{name} waits until {other} is healthy, which nobody checks."
        if how["condition"] == "service_completed_successfully" and services[other].get("restart") != "no":
            yield f"{name} waits until {other} has ended, which is started again for ever."
        if absent := set(services[other].get("profiles", [])) - set(services[name].get("profiles", [])):
            yield f"{name} waits for {other}, which is only there with the profile {', '.join(absent)}."


def dangling_names(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        yield from _unknown_references(name, service, document)
        yield from _unknown_mounts(name, service, document)


def _unknown_references(name: str, service: dict[str, Any], document: Document) -> Iterator[str]:
    for kind in ("networks", "configs", "secrets"):
        sources = [used["source"] if isinstance(used, dict) else used for used in service.get(kind, [])]
        for source in sources:
            if source not in document.get(kind, {}):
                yield f"{name} uses {source}, which is none of the {kind}."


def _unknown_mounts(name: str, service: dict[str, Any], document: Document) -> Iterator[str]:
    for source in (volume.split(":")[0] for volume in service.get("volumes", [])):
        if source.startswith("."):
            if not (ROOT / source).exists():
                yield f"{name} mounts {source}, which is not in the repository."
        elif source not in document.get("volumes", {}):
            yield f"{name} mounts {source}, which is none of the volumes."


def unused_names(document: Document) -> Iterator[str]:
    services: Services = document["services"]
    mounted = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    joined = {network for service in services.values() for network in service.get("networks", [])}
    for kind, used in (("volumes", mounted), ("networks", joined)):
        for name in sorted(document.get(kind, {}).keys() - used):
            yield f"Nobody uses {name} of the {kind}."


def looked_after(document: Document) -> Iterator[str]:
    services: Services = document["services"]
    for name, service in services.items():
        if "restart" not in service:
            yield f"{name} does not say what becomes of it when it ends."
        elif service["restart"] != "no" and "healthcheck" not in service:
            yield f"{name} has no health check."
        elif service["restart"] != "no" and service["healthcheck"].get("disable"):
            yield f"{name} has its health check switched off."


def locked_down(document: Document) -> Iterator[str]:
    services: Services = document["services"]
    for name, service in services.items():
        if not service.get("read_only"):
            yield f"{name} may write to its image."
        if service.get("cap_drop") != ["ALL"] or "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name} may do more than it needs to."
        if service.get("privileged") or "host" in {service.get(key) for key in ("network_mode", "pid", "ipc")}:
            yield f"{name} is not kept apart from its machine."
        for port in service.get("ports", []):
            if not re.match(r"127\.0\.0\.1:", port if isinstance(port, str) else f"{port.get('host_ip')}:"):
                yield f"{name} publishes {port} to everybody."
        if service.get("ports") and not any(not _internal(document, n) for n in service["networks"]):
            yield f"{name} publishes a port, but has no network that leads outside."


def _internal(document: Document, network: str) -> bool:
    return bool((document["networks"].get(network) or {}).get("internal"))


def known_words(document: Document) -> Iterator[str]:
    verbs, known = verbs_of_console(), variables()
    services: Services = document["services"]
    for name, service in services.items():
        for variable in service.get("environment", {}):
            if variable.startswith("MONEYBACK_") and variable not in known:
                yield f"{name} sets {variable}, which nobody reads."
        if "build" not in service:
            continue
        verb, *options = service.get("command") or [""]
        if verb not in verbs:
            yield f"{name} runs `moneyback {verb}`, which is no verb."
            continue
        for option in options:
            if option.startswith("-") and option not in verbs[verb]:
                yield f"{name} gives `moneyback {verb}` the option {option}, which it does not have."


def passed_on(document: Document) -> Iterator[str]:
    """Every setting reaches the services: from .env, or set by the document. Only `migrate` knows the tables' owner."""
    services: Services = document["services"]
    for name, service in services.items():
        if "build" not in service or "MONEYBACK_DATABASE_URL" not in service.get("environment", {}):
            continue
        owner = set() if name == "migrate" else {"MONEYBACK_DATABASE_OWNER_URL"}
        for variable in sorted(settings_of_every_block() - service["environment"].keys() - owner):
            yield f"{name} is not given {variable}."


def answered_questions(document: Document) -> Iterator[str]:
    """What the document takes from .env is exactly what the example explains."""
    explained = set(re.findall(r"^#?([A-Z][A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)) - {"COMPOSE_PROFILES"}
    taken = set(re.findall(r"\$\{([A-Z_]+)", str(document)))
    for service in document["services"].values():
        taken |= {name for name, value in service.get("environment", {}).items() if value is None}
    for name in sorted(taken - explained):
        yield f"deploy/example.env does not explain {name}."
    for name in sorted(explained - taken):
        yield f"deploy/example.env explains {name}, which nobody asks for."


CHECKS: tuple[Callable[[Document], Iterator[str]], ...] = (
    waits_for_nothing,
    dangling_names,
    unused_names,
    looked_after,
    locked_down,
    known_words,
    passed_on,
    answered_questions,
)


def test_compose_understands_every_word_of_the_file() -> None:
    subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)],
        check=True,
        timeout=120,
    )


def test_every_name_leads_somewhere_and_no_door_is_open() -> None:
    assert faults(read()) == []


def test_every_part_is_a_service_and_runs_alone() -> None:
    services: Services = read()["services"]
    run = [service["command"][0] for service in services.values() if "build" in service]
    assert sorted(run) == sorted(verbs_of_console())


def test_a_worker_has_time_to_record_a_payment_under_way() -> None:
    grace = read()["services"]["worker"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= Timers().lease_seconds


def test_only_migrate_may_change_the_tables() -> None:
    holders = [
        name
        for name, service in read()["services"].items()
        if "MONEYBACK_DATABASE_OWNER_URL" in service.get("environment", {})
    ]
    assert holders == ["migrate"]


def test_the_required_answers_of_the_example_are_left_open() -> None:
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))
    required = set(re.findall(r"\$\{([A-Z_]+):\?", FILE.read_text()))
    assert given == dict.fromkeys(required, "")


def _set(*path: str, to: object) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = to

    return change


def _drop(*path: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


BROKEN = {
    "web waits for databse,": _set("services", "web", "depends_on", to={"databse": {"condition": "service_healthy"}}),
    "migrate waits until postgres is healthy,": _drop("services", "postgres", "healthcheck"),
    "relay waits until migrate has ended,": _set("services", "migrate", "restart", to="always"),
    "consume waits for redis, which is only there with": _set("services", "redis", "profiles", to=["trial"]),
    "beat uses que, which is none of the networks": _set("services", "beat", "networks", to=["que"]),
    "beat uses key, which is none of the secrets": _set("services", "beat", "secrets", to=[{"source": "key"}]),
    "mail uses rules, which is none of the configs": _set("services", "mail", "configs", to=["rules"]),
    "mail mounts inbx,": _set("services", "mail", "volumes", to=["inbx:/var/lib/moneyback/incoming-mail"]),
    "redis mounts ./deploy/redis,": _set("services", "redis", "volumes", to=["./deploy/redis:/etc/moneyback"]),
    "Nobody uses spare of the volumes": _set("volumes", "spare", to=None),
    "Nobody uses desk of the networks": _set("services", "desk", "networks", to=["outside"]),
    "worker has no health check": _drop("services", "worker", "healthcheck"),
    "relay has its health check switched off": _set("services", "relay", "healthcheck", to={"disable": True}),
    "web does not say what becomes of it": _drop("services", "web", "restart"),
    "web may write to its image": _drop("services", "web", "read_only"),
    "consume may do more than it needs to": _drop("services", "consume", "cap_drop"),
    "flower is not kept apart": _set("services", "flower", "network_mode", to="host"),
    "desk publishes 8001:8001 to everybody": _set("services", "desk", "ports", to=["8001:8001"]),
    "web publishes 0.0.0.0:80:8000 to everybody": _set("services", "web", "ports", to=["0.0.0.0:80:8000"]),
    "flower publishes {'target': 5555} to everybody": _set("services", "flower", "ports", to=[{"target": 5555}]),
    "desk publishes a port, but has no network": _set("networks", "desk", to={"internal": True}),
    "relay runs `moneyback rely`,": _set("services", "relay", "command", to=["rely"]),
    "beat gives `moneyback beat` the option --scheduel,": _set(
        "services", "beat", "command", to=["beat", "--scheduel", "x"]
    ),
    "relay is not given MONEYBACK_LEASE_SECONDS": _drop("services", "relay", "environment", "MONEYBACK_LEASE_SECONDS"),
    "mail sets MONEYBACK_INBOX,": _set("services", "mail", "environment", to={"MONEYBACK_INBOX": "/inbox"}),
    "deploy/example.env does not explain TAG": _set("services", "web", "image", to="moneyback:${TAG}"),
    "deploy/example.env explains WORKER_CONCURRENCY,": _set("services", "worker", "command", to=["worker"]),
}


@pytest.mark.parametrize(("fault", "change"), BROKEN.items(), ids=list(BROKEN))
def test_a_mistake_in_the_file_is_found(fault: str, change: Callable[[Document], None]) -> None:
    document = read()
    change(document)
    assert [found for found in faults(document) if fault in found]


TABLE = "  sl  local_address rem_address   st\n   0: 0100007F:D431 0100007F:{port:04X} {state} 00000000:00000000\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine whose process 1 sleeps, with a connection to a broker and one that is being closed."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "stat").write_text("1 (a (strange) name) S 0 1 1")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TABLE.format(port=6379, state="01"))
    (tmp_path / "net" / "tcp6").write_text(TABLE.format(port=5432, state="08"))
    return tmp_path


def test_a_part_that_lives_and_holds_its_connection_is_well(proc: Path) -> None:
    assert connection_check.fault([6379], proc) == ""
    assert connection_check.fault([], proc) == ""


def test_a_part_without_its_connection_is_ill(proc: Path) -> None:
    assert connection_check.fault([6379, 5432], proc) == "There is no connection to port 5432."


@pytest.mark.parametrize("state", ["T", "Z"])
def test_a_part_that_is_stopped_or_dead_is_ill(proc: Path, state: str) -> None:
    (proc / "1" / "stat").write_text(f"1 (a (strange) name) {state} 0 1 1")
    assert connection_check.fault([6379], proc) == "Process 1 does not run."


@pytest.mark.parametrize(("status", "well"), [(200, True), (503, False), (302, False)])
def test_a_page_is_well_when_it_answers_200(status: int, *, well: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        answer = threading.Thread(target=_answer_once, args=(door, status))
        answer.start()
        assert (http_check.fault(f"http://127.0.0.1:{port}/readyz") == "") is well
        answer.join(timeout=10)
    assert "does not answer" in http_check.fault(f"http://127.0.0.1:{port}/readyz")


def test_the_example_shows_the_defaults() -> None:
    shown = dict(re.findall(r"^#(MONEYBACK_[A-Z_]+)=(.+)$", EXAMPLE.read_text(), re.MULTILINE))
    for block in (Timers, Limits):
        for name, field in block.model_fields.items():
            assert json.loads(shown[f"MONEYBACK_{name.upper()}"]) == field.default


def _answer_once(door: socket.socket, status: int) -> None:
    connection, _ = door.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
