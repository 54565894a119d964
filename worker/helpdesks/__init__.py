"""Creates the bridges to the connected helpdesks: one module for each, named as in ``config.helpdesks.HELPDESKS``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module

from config.helpdesks import connected_helpdesks
from config.settings import Settings
from domain.helpdesks import Helpdesk
from records import UnitOfWork
from worker.mail_transport import MailTransport


def database_time(work: UnitOfWork) -> datetime:
    """Return the time of the database, which all processes share."""
    return work.now


@dataclass(frozen=True, slots=True)
class Helpdesks:
    """The bridges of one process, and the clock that decides which call is due."""

    bridges: Mapping[str, Helpdesk] = field(default_factory=dict)
    clock: Callable[[UnitOfWork], datetime] = database_time
    """Only tests replace it."""


@dataclass(frozen=True, slots=True)
class BridgeContext:
    """What the bridges share."""

    seconds: float
    """The deadline of one HTTP request."""
    mail_transport: MailTransport
    sender: str


def connect_helpdesks(settings: Settings, mail_transport: MailTransport) -> Helpdesks:
    """Create the bridge to each connected helpdesk."""
    shared = BridgeContext(settings.timers.provider_timeout_seconds, mail_transport, settings.mail_from)
    accounts = connected_helpdesks(settings.helpdesks)
    return Helpdesks(
        {
            name: import_module(f"worker.helpdesks.{name}").create_bridge(account, shared)
            for name, account in accounts.items()
        }
    )
