"""Generates docs/settings.md: every setting, including the payment providers' settings."""

import inspect

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from config.connected_providers import ProviderSettings
from config.desk_settings import DeskSettings
from config.helpdesks import HELPDESKS, HelpdeskSettings, ZendeskSettings
from config.provider_accounts import ACCOUNTS
from config.provider_plugins import Account
from config.rate_limits import Limits
from config.settings import Settings, Timers
from console.docgen.markdown import docstring_text, document, table


def page() -> str:
    """Return the page of all settings."""
    return document(
        "Settings",
        "Every setting is an environment variable. 🔒 marks a secret. Every setting except times and limits can also be "
        "read from a file, such as a mounted secret of a container: set `<NAME>_FILE` to the path of the file.",
        _settings(Settings, exclude=("desk", "timers", "limits", *ProviderSettings.model_fields)),
        "## Times",
        inspect.cleandoc(Timers.__doc__ or ""),
        "`MONEYBACK_PROVIDER_TIMEOUT_SECONDS`, `MONEYBACK_TASK_SOFT_TIME_LIMIT_SECONDS`, `MONEYBACK_TASK_TIME_LIMIT_SECONDS` and "
        "`MONEYBACK_LEASE_SECONDS` must increase in this order. A worker then stops before its lease on a case ends, so two "
        "workers never work on one case at the same time. With another order, no service starts.",
        _settings(Timers),
        "## Limits",
        inspect.cleandoc(Limits.__doc__ or ""),
        _settings(Limits),
        "## The support desk",
        inspect.cleandoc(DeskSettings.__doc__ or ""),
        _settings(DeskSettings),
        "## Accounts with payment providers",
        _settings(ProviderSettings),
        "The settings of an account are read if `MONEYBACK_PROVIDERS` names the account. [providers.md](providers.md) explains "
        "what to set up at each provider.",
        "### Every account",
        "The variables of an account start with its name in capital letters, with underscores instead of the colon and of "
        "dashes: `MONEYBACK_STRIPE_API_KEY` is for the account `stripe`, and `MONEYBACK_STRIPE_AURORA_API_KEY` for the account "
        "`stripe:aurora`. Every account has the settings of its provider below, and these settings:",
        _settings(
            ACCOUNTS["stripe"], exclude=tuple(ACCOUNTS["stripe"].model_fields.keys() - Account.model_fields.keys())
        ),
        *(part for account in ACCOUNTS.values() for part in (_heading(account), _own_settings(account))),
        "## Helpdesks",
        "The settings of a helpdesk are read if `MONEYBACK_HELPDESKS` names the helpdesk. [helpdesks.md](helpdesks.md) explains "
        "what to set up in each helpdesk.",
        "### Every helpdesk that sends webhooks",
        "These settings have the prefix of the helpdesk, as the other settings of the helpdesk below:",
        _settings(
            ZendeskSettings, exclude=tuple(ZendeskSettings.model_fields.keys() - HelpdeskSettings.model_fields.keys())
        ),
        *(
            part
            for helpdesk in HELPDESKS.values()
            for part in (_heading(helpdesk), _settings(helpdesk, exclude=tuple(HelpdeskSettings.model_fields)))
        ),
    )


def _heading(account: type[BaseSettings]) -> str:
    name, _, description = docstring_text(account).partition(". ")
    return "\n\n".join([f"### {name.rstrip('.')}", *([description] if description else [])])


def _common_settings(account: type[Account]) -> str:
    return _settings(account, exclude=tuple(account.model_fields.keys() - Account.model_fields.keys()))


def _own_settings(account: type[BaseSettings]) -> str:
    return _settings(account, exclude=tuple(Account.model_fields))


def _settings(block: type[BaseSettings], *, exclude: tuple[str, ...] = ()) -> str:
    prefix = block.model_config.get("env_prefix", "")
    rows = []
    for name, field in block.model_fields.items():
        secret = "SecretStr" in str(field.annotation)
        default = _UNSET.get(field.default, "set" if secret else f"`{field.default}`")
        if name not in exclude:
            rows.append((f"`{prefix}{name.upper()}`{' 🔒' if secret else ''}", default, f"{field.description}"))
    return table(("variable", "default", "meaning"), rows)


_UNSET: dict[object, str] = {PydanticUndefined: "must be set", None: "not set", (): "none", frozenset(): "none"}
