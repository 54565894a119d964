"""Checks docker-compose.yml for faults that the Compose schema does not find, such as unknown names and unsafe options.

A part is a process of Moneyback, such as the web process or a worker. Each part is one service in the file.
"""

import copy
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from config.desk_settings import DeskSettings
from config.provider_accounts import ACCOUNTS
from config.provider_plugins import Account
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
    """Return the content of a YAML file as plain dicts. Each alias is replaced by its value. A test may change the dicts."""
    document: Document = YAML(typ="safe", pure=True).load(file)
    return copy.deepcopy(document)


def commands_of_console() -> dict[str, set[str]]:
    """Return, for each command that starts a part, its options and the environment variables that set these options."""
    app = typer.Typer()
    services.add_to(app)
    group: Any = typer.main.get_command(app)
    return {
        name: {word for option in command.params for word in (*option.opts, *_variables_of(option))}
        for name, command in group.commands.items()
    }


def variables() -> set[str]:
    """Return the MONEYBACK_ variables that at least one part reads."""
    of_options = {word for words in commands_of_console().values() for word in words if word.startswith("MONEYBACK_")}
    return all_settings() | of_options


def all_settings() -> set[str]:
    """Return the environment variables of all settings, except the settings that every account has.

    The settings that every account has are in accounts.env, because accounts have any name.
    """
    blocks: tuple[type[BaseSettings], ...] = (Settings, Timers, Limits, DeskSettings, *ACCOUNTS.values())
    names = {
        f"{block.model_config['env_prefix']}{field.upper()}"
        for block in blocks
        for field in block.model_fields.keys() - Account.model_fields.keys()
    }
    return names - {"MONEYBACK_TIMERS", "MONEYBACK_LIMITS", "MONEYBACK_DESK"}


def _variables_of(option: Any) -> list[str]:
    names = getattr(option, "envvar", None) or []
    return [names] if isinstance(names, str) else list(names)


def faults(document: Document) -> list[str]:
    """Return a sentence for each fault in the content of docker-compose.yml."""
    return [fault for check in CHECKS for fault in check(document)]


def check_dependencies(document: Document) -> Iterator[str]:
    services: Services = document["services"]
    dependencies = [
        (name, *dependency)
        for name, service in services.items()
        for dependency in service.get("depends_on", {}).items()
    ]
    for name, other, options in dependencies:
        if other not in services:
            yield f"{name} waits for {other}, which is not a service."
            continue
        if options["condition"] == "service_healthy" and "healthcheck" not in services[other]:
            yield f"{name} waits until {other} is healthy, but {other} has no health check."
        if options["condition"] == "service_completed_successfully" and services[other].get("restart") != "no":
            yield f"{name} waits until {other} has ended, but {other} is always restarted."
        if profiles := set(services[other].get("profiles", [])) - set(services[name].get("profiles", [])):
            yield f"{name} waits for {other}, which runs only with the profile {', '.join(profiles)}."


def check_references(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        yield from _unknown_references(name, service, document)
        yield from _unknown_mounts(name, service, document)


def _unknown_references(name: str, service: dict[str, Any], document: Document) -> Iterator[str]:
    for kind in ("networks", "configs", "secrets"):
        sources = [used["source"] if isinstance(used, dict) else used for used in service.get(kind, [])]
        for source in sources:
            if source not in document.get(kind, {}):
                yield f"{name} uses {source}, which is not in {kind}."


def _unknown_mounts(name: str, service: dict[str, Any], document: Document) -> Iterator[str]:
    for source in (volume.split(":")[0] for volume in service.get("volumes", [])):
        if source.startswith("."):
            if not (ROOT / source).exists():
                yield f"{name} mounts {source}, which is not in the repository."
        elif source not in document.get("volumes", {}):
            yield f"{name} mounts {source}, which is not in volumes."


def check_unused_names(document: Document) -> Iterator[str]:
    services: Services = document["services"]
    mounted = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    joined = {network for service in services.values() for network in service.get("networks", [])}
    for kind, used in (("volumes", mounted), ("networks", joined)):
        for name in sorted(document.get(kind, {}).keys() - used):
            yield f"No service uses {name}, which is in {kind}."


def check_health_checks(document: Document) -> Iterator[str]:
    services: Services = document["services"]
    for name, service in services.items():
        if "restart" not in service:
            yield f"{name} has no restart policy."
        elif service["restart"] != "no" and "healthcheck" not in service:
            yield f"{name} has no health check."
        elif service["restart"] != "no" and service["healthcheck"].get("disable"):
            yield f"{name} has a disabled health check."


def check_security(document: Document) -> Iterator[str]:
    services: Services = document["services"]
    for name, service in services.items():
        if not service.get("read_only"):
            yield f"{name} has a writable file system."
        if service.get("cap_drop") != ["ALL"] or "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name} has unnecessary privileges."
        if service.get("privileged") or "host" in {service.get(key) for key in ("network_mode", "pid", "ipc")}:
            yield f"{name} is not isolated from the host."
        for port in service.get("ports", []):
            if not re.match(r"127\.0\.0\.1:", port if isinstance(port, str) else f"{port.get('host_ip')}:"):
                yield f"{name} publishes {port} on every interface."
        if service.get("ports") and not any(not _internal(document, n) for n in service["networks"]):
            yield f"{name} publishes a port, but has only internal networks."


def _internal(document: Document, network: str) -> bool:
    return bool((document["networks"].get(network) or {}).get("internal"))


def check_commands(document: Document) -> Iterator[str]:
    commands, known = commands_of_console(), variables()
    services: Services = document["services"]
    for name, service in services.items():
        for variable in service.get("environment", {}):
            if variable.startswith("MONEYBACK_") and variable not in known:
                yield f"{name} sets {variable}, which no part reads."
        if "build" not in service:
            continue
        command, *options = service.get("command") or [""]
        if command not in commands:
            yield f"{name} runs `moneyback {command}`, which is not a command."
            continue
        for option in options:
            if option.startswith("-") and option not in commands[command]:
                yield f"{name} gives `moneyback {command}` the unknown option {option}."


def check_settings(document: Document) -> Iterator[str]:
    """Check that every part with a database URL gets every setting.

    Exception: only `migrate` gets MONEYBACK_DATABASE_OWNER_URL, because only `migrate` may change the tables.
    """
    services: Services = document["services"]
    for name, service in services.items():
        if "build" not in service or "MONEYBACK_DATABASE_URL" not in service.get("environment", {}):
            continue
        owner_url = set() if name == "migrate" else {"MONEYBACK_DATABASE_OWNER_URL"}
        for variable in sorted(all_settings() - service["environment"].keys() - owner_url):
            yield f"{name} lacks {variable}."


def check_example(document: Document) -> Iterator[str]:
    """Check that deploy/example.env explains exactly the variables that docker-compose.yml reads from .env."""
    explained = set(re.findall(r"^#?([A-Z][A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)) - {"COMPOSE_PROFILES"}
    read_from_env = set(re.findall(r"\$\{([A-Z_]+)", str(document)))
    for service in document["services"].values():
        read_from_env |= {name for name, value in service.get("environment", {}).items() if value is None}
    for name in sorted(read_from_env - explained):
        yield f"deploy/example.env does not explain {name}."
    for name in sorted(explained - read_from_env):
        yield f"deploy/example.env explains {name}, which no service uses."


CHECKS: tuple[Callable[[Document], Iterator[str]], ...] = (
    check_dependencies,
    check_references,
    check_unused_names,
    check_health_checks,
    check_security,
    check_commands,
    check_settings,
    check_example,
)


def test_the_file_has_no_faults() -> None:
    assert faults(read()) == []


def test_every_part_is_one_service() -> None:
    services: Services = read()["services"]
    run = [service["command"][0] for service in services.values() if "build" in service]
    assert sorted(run) == sorted(commands_of_console())


def test_a_stopping_worker_has_time_to_record_a_running_refund() -> None:
    grace = read()["services"]["worker"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= Timers().lease_seconds


def test_only_migrate_may_change_the_tables() -> None:
    services_of_owner = [
        name
        for name, service in read()["services"].items()
        if "MONEYBACK_DATABASE_OWNER_URL" in service.get("environment", {})
    ]
    assert services_of_owner == ["migrate"]


def test_the_required_values_in_example_env_are_empty() -> None:
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))
    required = set(re.findall(r"\$\{([A-Z_]+):\?", FILE.read_text()))
    assert values == dict.fromkeys(required, "")


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


PLANTED_FAULTS = {
    "web waits for databse,": _set("services", "web", "depends_on", to={"databse": {"condition": "service_healthy"}}),
    "migrate waits until postgres is healthy,": _drop("services", "postgres", "healthcheck"),
    "relay waits until migrate has ended,": _set("services", "migrate", "restart", to="always"),
    "consume waits for redis, which runs only with the profile": _set("services", "redis", "profiles", to=["trial"]),
    "beat uses que, which is not in networks": _set("services", "beat", "networks", to=["que"]),
    "beat uses key, which is not in secrets": _set("services", "beat", "secrets", to=[{"source": "key"}]),
    "mail uses rules, which is not in configs": _set("services", "mail", "configs", to=["rules"]),
    "mail mounts inbx,": _set("services", "mail", "volumes", to=["inbx:/var/lib/moneyback/incoming-mail"]),
    "redis mounts ./deploy/redis,": _set("services", "redis", "volumes", to=["./deploy/redis:/etc/moneyback"]),
    "No service uses spare, which is in volumes": _set("volumes", "spare", to=None),
    "No service uses desk, which is in networks": _set("services", "desk", "networks", to=["outside"]),
    "worker has no health check": _drop("services", "worker", "healthcheck"),
    "relay has a disabled health check": _set("services", "relay", "healthcheck", to={"disable": True}),
    "web has no restart policy": _drop("services", "web", "restart"),
    "web has a writable file system": _drop("services", "web", "read_only"),
    "consume has unnecessary privileges": _drop("services", "consume", "cap_drop"),
    "flower is not isolated": _set("services", "flower", "network_mode", to="host"),
    "desk publishes 8001:8001 on every interface": _set("services", "desk", "ports", to=["8001:8001"]),
    "web publishes 0.0.0.0:80:8000 on every interface": _set("services", "web", "ports", to=["0.0.0.0:80:8000"]),
    "flower publishes {'target': 5555} on every interface": _set("services", "flower", "ports", to=[{"target": 5555}]),
    "desk publishes a port, but has only internal networks": _set("networks", "desk", to={"internal": True}),
    "relay runs `moneyback rely`,": _set("services", "relay", "command", to=["rely"]),
    "beat gives `moneyback beat` the unknown option --scheduel": _set(
        "services", "beat", "command", to=["beat", "--scheduel", "x"]
    ),
    "relay lacks MONEYBACK_LEASE_SECONDS": _drop("services", "relay", "environment", "MONEYBACK_LEASE_SECONDS"),
    "mail sets MONEYBACK_INBOX,": _set("services", "mail", "environment", to={"MONEYBACK_INBOX": "/inbox"}),
    "deploy/example.env does not explain TAG": _set("services", "web", "image", to="moneyback:${TAG}"),
    "deploy/example.env explains WORKER_CONCURRENCY,": _set("services", "worker", "command", to=["worker"]),
}


@pytest.mark.parametrize(("fault", "change"), PLANTED_FAULTS.items(), ids=list(PLANTED_FAULTS))
def test_a_planted_fault_is_found(fault: str, change: Callable[[Document], None]) -> None:
    document = read()
    change(document)
    assert [found for found in faults(document) if fault in found]


TABLE = "  sl  local_address rem_address   st\n   0: 0100007F:D431 0100007F:{port:04X} {state} 00000000:00000000\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a folder like /proc. Process 1 sleeps. A connection to port 6379 is open. A connection to port 5432 is closing."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "stat").write_text("1 (a (nested) name) S 0 1 1")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TABLE.format(port=6379, state="01"))
    (tmp_path / "net" / "tcp6").write_text(TABLE.format(port=5432, state="08"))
    return tmp_path


def test_a_running_part_with_all_its_connections_is_healthy(proc: Path) -> None:
    assert connection_check.fault([6379], proc) == ""
    assert connection_check.fault([], proc) == ""


def test_a_part_without_one_of_its_connections_is_unhealthy(proc: Path) -> None:
    assert connection_check.fault([6379, 5432], proc) == "There is no connection to port 5432."


@pytest.mark.parametrize("state", ["T", "Z"])
def test_a_stopped_part_is_unhealthy(proc: Path, state: str) -> None:
    (proc / "1" / "stat").write_text(f"1 (a (nested) name) {state} 0 1 1")
    assert connection_check.fault([6379], proc) == "Process 1 does not run."


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (302, False)])
def test_only_an_http_response_with_status_200_is_healthy(status: int, *, healthy: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        responder = threading.Thread(target=_respond_once, args=(listener, status))
        responder.start()
        assert (http_check.fault(f"http://127.0.0.1:{port}/readyz") == "") is healthy
        responder.join(timeout=10)
    assert "does not answer" in http_check.fault(f"http://127.0.0.1:{port}/readyz")


def test_example_env_shows_the_defaults_of_timers_and_limits() -> None:
    shown = dict(re.findall(r"^#(MONEYBACK_[A-Z_]+)=(.+)$", EXAMPLE.read_text(), re.MULTILINE))
    for block in (Timers, Limits):
        for name, field in block.model_fields.items():
            assert json.loads(shown[f"MONEYBACK_{name.upper()}"]) == field.default


def _respond_once(listener: socket.socket, status: int) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
