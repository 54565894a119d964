"""The commands that each run one service, such as the web server. `moneyback up` runs all services.

In a cluster, each service runs in its own container.
"""

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from config import log
from config.extras import require, require_for
from console.environment import load_settings
from console.output import Json, print_json
from console.start_checks import (
    MAX_PORT,
    require_address,
    require_desk_users,
    require_folder,
    require_mail_transport,
    startable,
)
from domain.messages import WORK_QUEUES

PROCESSES = (os.cpu_count() or 1) + 1  # one more than the number of cores, because a process often waits for a commit

Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=MAX_PORT, help="The port to listen on.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command in (web, desk, mail, consume, worker, relay, beat, flower, sandbox, migrate):
        app.command()(command)


def web(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes that share the port.")] = 1,
) -> None:
    """Serve the help centre, the refund form, the API, and the webhook endpoints of payment providers.

    Needs `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL`, `MONEYBACK_SECRET_KEY` and `MONEYBACK_PUBLIC_URL`.

    Example: `moneyback web --host 0.0.0.0 --workers 4`
    """
    from producers.web.app import run

    log.set_up()
    settings = startable("web")
    require_folder("MONEYBACK_HELP_DIR", settings.help_dir)
    require_address(host, port)
    run("console.asgi:web", host, port, workers=workers)


def desk(host: Host = "127.0.0.1", port: Port = 8001) -> None:
    """Serve the support desk, which shows the cases that wait for support, and the reasons. `moneyback users` adds its users.

    On another address than 127.0.0.1, the desk starts only after a user can sign in.

    Needs `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL` and `MONEYBACK_SECRET_KEY`. With `MONEYBACK_PROVIDERS` and the settings
    of each provider, the desk shows what the provider says about a payment now.

    Example: `moneyback desk --port 8001`
    """
    from console.desk import create_desk
    from producers.web.app import run, warm_up

    log.set_up()
    settings = load_settings()
    if settings.desk.oidc_issuer:
        require("oidc")
    require_address(host, port)
    require_desk_users(host, settings)
    run(warm_up(create_desk(settings)), host, port)


def mail(
    lmtp: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT|PATH",
            help="Receive e-mails by LMTP at this address or socket, like 127.0.0.1:2424, and read no mailbox.",
        ),
    ] = "",
    smtp: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT|PATH", help="Receive e-mails by SMTP at this address or socket, and read no mailbox."
        ),
    ] = "",
) -> None:
    """Turn e-mails into refund requests. Reads an IMAP mailbox and a maildir, or receives by LMTP or SMTP.

    Needs `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL` and `MONEYBACK_SECRET_KEY`; and `MONEYBACK_IMAP_URL` or
    `MONEYBACK_INCOMING_MAIL_DIR`, unless --lmtp or --smtp is given.

    Example: `moneyback mail --lmtp 127.0.0.1:2424`
    """
    require_for("mail")
    from producers.mail.lmtp import parse_address
    from producers.mail.service import serve, serve_lmtp

    log.set_up()
    settings = load_settings()
    if not (lmtp or smtp):
        serve(settings, _until_stopped())
        return
    address = parse_address(lmtp or smtp)
    if isinstance(address, tuple):
        require_address(*address)
    serve_lmtp(settings, _until_stopped(), lmtp or smtp, lmtp=bool(lmtp))


def consume() -> None:
    """Consume the queues to which other systems publish: `refund.requests`, `refund.answers` and `support.decisions`.

    Needs `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL` and `MONEYBACK_SECRET_KEY`.

    Example: `moneyback consume`
    """
    from producers.queue_consumer import serve

    log.set_up()
    serve(load_settings(), _until_stopped())


def _queues(text: str) -> str:
    """Check a comma-separated list of queues; an empty text means all queues."""
    from config.broker import PERIODIC

    queues = (*WORK_QUEUES, PERIODIC)
    names = [name.strip() for name in text.split(",") if name.strip()] or list(queues)
    if unknown := [name for name in names if name not in queues]:
        raise typer.BadParameter(f"There is no queue {', '.join(unknown)}. The queues are: {', '.join(queues)}.")
    return ",".join(names)


def worker(
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", min=1, help="Number of processes that run tasks.")
    ] = PROCESSES,
    queues: Annotated[
        str,
        typer.Option(
            "--queues",
            "-Q",
            metavar="QUEUE,…",
            callback=_queues,
            help=f"The queues to work on. The default is all queues: {', '.join(WORK_QUEUES)}, and the queue of scheduled tasks.",
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="This worker's name; Celery replaces %h by the host's name.")] = "worker@%h",
) -> None:
    """Run a Celery worker: it evaluates and executes refunds, resolves their outcomes, and sends e-mails and support tasks.

    Needs `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL`, `MONEYBACK_SECRET_KEY`, `MONEYBACK_PROVIDERS` with the
    settings of each provider, and `MONEYBACK_SMTP_URL`.

    Example: `moneyback worker -c 4`
    """
    require_mail_transport(startable("worker"))
    _celery(
        "worker", "-c", str(concurrency), "-Q", queues, "-n", name, "-O", "fair", "--without-gossip", "--without-mingle"
    )


def relay() -> None:
    """Publish the messages of the outbox table to the broker, and publish the messages of overdue cases again.

    If the broker is unavailable for a minute, the relay does the work of the workers. So the relay needs their settings:
    `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL`, `MONEYBACK_SECRET_KEY`, `MONEYBACK_PROVIDERS` with the settings of
    each provider, and `MONEYBACK_SMTP_URL`.

    Example: `moneyback relay`
    """
    from records import Records

    log.set_up()
    settings = startable("relay")
    require_mail_transport(settings)  # because the relay sends e-mails itself while the broker is unavailable
    from worker.app import app
    from worker.relay import Relay

    Relay(settings, Records.of(settings), app).run(_until_stopped())


def beat(
    schedule: Annotated[Path, typer.Option(help="The file in which Celery beat stores its schedule.")] = Path(
        "celerybeat-schedule"
    ),
) -> None:
    """Run Celery beat, which sends the scheduled tasks: the sweep and the daily reconciliation. Run only one beat process.

    Needs `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL` and `MONEYBACK_SECRET_KEY`.

    Example: `moneyback beat --schedule /var/lib/moneyback/beat`
    """
    load_settings()
    require_folder("The folder of --schedule", schedule.absolute().parent, mode=os.W_OK)
    _celery("beat", "-s", str(schedule))


def flower(
    host: Host = "127.0.0.1",
    port: Port = 5555,
    login: Annotated[
        str,
        typer.Option(
            envvar="MONEYBACK_FLOWER_LOGIN", metavar="USER:PASSWORD", help="The user and the password for Flower."
        ),
    ] = "",
) -> None:
    """Serve Flower, which shows Celery's workers and tasks in the browser.

    Needs `MONEYBACK_FLOWER_LOGIN`, `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL` and `MONEYBACK_SECRET_KEY`.

    Example: `MONEYBACK_FLOWER_LOGIN=ops:secret moneyback flower`
    """
    require_for("flower")
    if ":" not in login:
        raise typer.BadParameter(
            "Flower can shut workers down, so it needs a login, as USER:PASSWORD.", param_hint="--login"
        )
    load_settings()
    require_address(host, port)
    os.environ["FLOWER_BASIC_AUTH"] = login  # not on the command line, which every user of the machine can read
    _celery("flower", f"--address={host}", f"--port={port}")


def sandbox(
    folder: Annotated[Path, typer.Option(help="The folder in which the sandbox stores its journal of refunds.")] = Path(
        "sandbox"
    ),
    host: Host = "127.0.0.1",
    port: Port = 8003,
    latency: Annotated[float, typer.Option(min=0, help="The delay of every response, in seconds.")] = 0.0,
    webhooks: Annotated[
        str, typer.Option(metavar="URL", help="The URL that receives webhooks. By default, no webhook is sent.")
    ] = "",
) -> None:
    """Serve a payment provider that moves no money. The prefix of a charge's id selects a success, a delay or a fault.

    Webhooks are signed with `MONEYBACK_SANDBOX_WEBHOOK_SECRET`. Needs no other settings.

    Example: `moneyback sandbox --webhooks http://127.0.0.1:8000/v1/webhooks/sandbox`
    """
    from config.provider_accounts import SandboxAccount
    from console.sandbox.behaviours import Times
    from console.sandbox.server import serve
    from console.sandbox.webhooks import Webhooks

    require_address(host, port)
    secret = SandboxAccount(url=f"http://{host}:{port}").webhook_secret.get_secret_value()
    sender = Webhooks(webhooks, secret) if webhooks else None
    serve(folder, host=host, port=port, times=Times(latency=latency), webhooks=sender)


def migrate(*, json: Json = False) -> None:
    """Bring the database's tables to the version of this program.

    The command is safe to run again, and to run in several processes at the same time.

    Connects with `MONEYBACK_DATABASE_OWNER_URL` if it is set, else with `MONEYBACK_DATABASE_URL`. The user in this URL
    must own the tables. Then checks that the user in `MONEYBACK_DATABASE_URL` may use the tables. Needs
    `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL` and `MONEYBACK_SECRET_KEY`.

    Example: `moneyback migrate`
    """
    from records import migrate
    from records.database_rights import require_service_rights
    from records.unit_of_work import connect

    settings = load_settings()
    owner = settings.database_owner_url or settings.database_url
    version = migrate.migrate(connect(owner.get_secret_value()))
    require_service_rights(connect(settings.database_url.get_secret_value()))
    if json:
        print_json({"version": version})
    else:
        typer.echo(f"The database is at version {version}.")


def _celery(*arguments: str) -> None:
    """Run the command `celery` with our application in this process, and end with the exit code of the command.

    Celery looks for a module in the current folder first. Our modules are imported before Celery runs, so a folder
    `worker` or a file `config.py` in the current folder never replaces our modules.
    """
    from celery.bin.celery import celery

    import worker.tasks  # noqa: F401

    celery.main(["-A", "worker.app", "--quiet", *arguments], prog_name="celery", auto_envvar_prefix="CELERY")


def _until_stopped() -> threading.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
