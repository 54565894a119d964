"""Generates docs/settings.md: every setting, including the payment providers' settings."""

import inspect

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from config.provider_accounts import ACCOUNTS
from config.rate_limits import Limits
from config.settings import Settings, Timers
from console.docgen.markdown import docstring_text, document, table


def page() -> str:
    """Return the page of all settings."""
    return document(
        "Settings",
        "Every setting is an environment variable. 🔒 marks a secret. Every setting except times and limits can also be "
        "read from a file, such as a mounted secret of a container: set `<NAME>_FILE` to the path of the file.",
        _settings(Settings, exclude=("timers", "limits")),
        "## Times",
        inspect.cleandoc(Timers.__doc__ or ""),
        "`MONEYBACK_PROVIDER_TIMEOUT_SECONDS`, `MONEYBACK_TASK_SOFT_TIME_LIMIT_SECONDS`, `MONEYBACK_TASK_TIME_LIMIT_SECONDS` and "
        "`MONEYBACK_LEASE_SECONDS` must increase in this order. A worker then stops before its lease on a case ends, so two "
        "workers never work on one case at the same time. With another order, no service starts.",
        _settings(Timers),
        "## Limits",
        inspect.cleandoc(Limits.__doc__ or ""),
        _settings(Limits),
        "## Accounts with payment providers",
        "The settings of an account are read if `MONEYBACK_PROVIDERS` names the provider. [providers.md](providers.md) explains "
        "what to set up at each provider.",
        *(part for account in ACCOUNTS.values() for part in (_heading(account), _settings(account))),
    )


def _heading(account: type[BaseSettings]) -> str:
    name, _, description = docstring_text(account).partition(". ")
    return "\n\n".join([f"### {name.rstrip('.')}", *([description] if description else [])])


def _settings(block: type[BaseSettings], *, exclude: tuple[str, ...] = ()) -> str:
    prefix = block.model_config.get("env_prefix", "")
    rows = []
    for name, field in block.model_fields.items():
        secret = "SecretStr" in str(field.annotation)
        default = _UNSET.get(field.default, "set" if secret else f"`{field.default}`")
        if name not in exclude:
            rows.append((f"`{prefix}{name.upper()}`{' 🔒' if secret else ''}", default, f"{field.description}"))
    return table(("variable", "default", "meaning"), rows)


_UNSET = {PydanticUndefined: "must be set", None: "not set", (): "none"}
