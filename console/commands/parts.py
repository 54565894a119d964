"""One verb a process: what `up` runs side by side, and what a cluster runs one a container."""

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from config import log
from config.extras import require
from console.wiring import wired
from domain.messages import LANES

PROCESSES = (os.cpu_count() or 1) + 1  # one more than cores: while one waits for its commit, another works

Host = Annotated[str, typer.Option(help="The address to bind to.")]


def add_to(app: typer.Typer) -> None:
    """Adds the verbs."""
    for verb in (web, desk, mail, feed, worker, relay, beat, flower, sandbox, migrate):
        app.command()(verb)


def web(
    host: Host = "127.0.0.1",
    port: int = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that serve, on one port.")] = 1,
) -> None:
    """The help centre, the refund form, the API, and the addresses that payment providers send their webhooks to."""
    from producers.web.app import run

    log.set_up()
    require("web", wired())
    run("console.serving:web", host, port, workers=workers)


def desk(host: Host = "127.0.0.1", port: int = 8001) -> None:
    """What waits for a person, with every reason."""
    from producers.desk.app import serve

    log.set_up()
    serve(host, port, wired())


def mail(
    lmtp: Annotated[
        str, typer.Option(help="Answer a mail server here instead: 127.0.0.1:2424, or a socket's path.")
    ] = "",
    smtp: Annotated[str, typer.Option(help="As --lmtp, but by SMTP.")] = "",
) -> None:
    """Reads requests from the mailbox in MONEYBACK_IMAP_URL and the maildir in MONEYBACK_INBOX_DIR."""
    require("mail")
    from producers.mail.serving import serve, serve_handed

    log.set_up()
    if lmtp or smtp:
        serve_handed(wired(), _until_stopped(), lmtp or smtp, lmtp=bool(lmtp))
    else:
        serve(wired(), _until_stopped())


def feed() -> None:
    """Reads requests of upstream forms from the queue `refund.requests`."""
    from producers.feed import serve

    log.set_up()
    serve(wired(), _until_stopped())


def worker(
    concurrency: Annotated[int, typer.Option("--concurrency", "-c", help="Processes that run tasks.")] = PROCESSES,
    lanes: Annotated[
        str, typer.Option(help="The queues to work on, with commas between; all, unless some are named.")
    ] = "",
    name: Annotated[str, typer.Option(help="This worker's name in Flower.")] = "worker@%h",
) -> None:
    """Judges, pays, settles, writes letters, hands cases to people, and does what beat asks for."""
    from config.broker import TICKS

    require("worker", wired())
    queues = lanes or ",".join((*LANES, TICKS))
    _celery(
        "worker", "-c", str(concurrency), "-Q", queues, "-n", name, "-O", "fair", "--without-gossip", "--without-mingle"
    )


def relay() -> None:
    """Publishes what is due, and sends again what nobody moved."""
    from records import Records

    log.set_up()
    settings = wired()
    require("relay", settings)
    from worker.app import app
    from worker.relay import Relay

    Relay(settings, Records.of(settings), app).run(_until_stopped())


def beat(
    schedule: Annotated[Path, typer.Option(help="Where beat keeps its times.")] = Path("celerybeat-schedule"),
) -> None:
    """Ticks: sends the tasks that come round."""
    wired()
    _celery("beat", "-s", str(schedule))


def flower(
    host: Host = "127.0.0.1",
    port: int = 5555,
    login: Annotated[str, typer.Option(envvar="MONEYBACK_FLOWER_LOGIN", help="user:password.")] = "",
) -> None:
    """Flower: the workers and their tasks, in the browser."""
    require("flower")
    if ":" not in login:
        raise typer.BadParameter(
            "Flower shows and steers workers: give it a login, as user:password.", param_hint="--login"
        )
    wired()
    os.environ["FLOWER_BASIC_AUTH"] = login  # not on the command line, where every user of the machine reads it
    _celery("flower", f"--address={host}", f"--port={port}")


def sandbox(
    folder: Annotated[Path, typer.Option(help="Where the sandbox remembers what it paid.")] = Path("sandbox"),
    host: Host = "127.0.0.1",
    port: int = 8003,
    latency: Annotated[float, typer.Option(help="Seconds every answer takes.")] = 0.0,
    webhooks: Annotated[str, typer.Option(help="The address that is told what happens.")] = "",
) -> None:
    """A payment provider to try things out with: it pays, delays, declines, lies and hangs by the charge id's prefix.

    Webhooks are signed with MONEYBACK_SANDBOX_WEBHOOK_SECRET.
    """
    from config.accounts import SandboxAccount
    from worker.sandbox.behaviours import Times
    from worker.sandbox.server import serve
    from worker.sandbox.webhooks import Webhooks

    secret = SandboxAccount(url=f"http://{host}:{port}").webhook_secret.get_secret_value()
    told = Webhooks(webhooks, secret) if webhooks else None
    serve(folder, host=host, port=port, times=Times(latency=latency), webhooks=told)


def migrate() -> None:
    """Brings the database to this version."""
    from records import schema
    from records.work import connect

    settings = wired()
    owner = settings.database_owner_url or settings.database_url
    typer.echo(f"The database is at version {schema.migrate(connect(owner.get_secret_value()))}.")


def _celery(*arguments: str) -> None:
    """Runs Celery's command with our application in this process, and ends with its exit code.

    Celery looks for a module in the current folder first. So our modules are imported before: a stranger's `worker` or
    `config.py` in that folder is never imported in place of ours.
    """
    from celery.bin.celery import celery

    import worker.tasks  # noqa: F401

    celery.main(["-A", "worker.app", "--quiet", *arguments], prog_name="celery", auto_envvar_prefix="CELERY")


def _until_stopped() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
