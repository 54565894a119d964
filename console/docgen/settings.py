"""docs/settings.md: every setting, those of our accounts with payment providers included."""

import inspect

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from config.accounts import ACCOUNTS
from config.limits import Limits
from config.settings import Settings, Timers
from console.docgen.markdown import document, said, table


def page() -> str:
    """Every setting."""
    return document(
        "Settings",
        "Every setting is an environment variable. 🔒 marks a secret. But for times and limits, each may stand in a file as "
        "well: the variable with `_FILE` at its end names it, as container platforms mount their secrets.",
        _settings(Settings, but=("timers", "limits")),
        "## Times",
        inspect.cleandoc(Timers.__doc__ or ""),
        "`MONEYBACK_HTTP_SECONDS` < `MONEYBACK_SOFT_SECONDS` < `MONEYBACK_HARD_SECONDS` < `MONEYBACK_LEASE_SECONDS` must hold; "
        "otherwise no part starts.",
        _settings(Timers),
        "## Limits",
        inspect.cleandoc(Limits.__doc__ or ""),
        _settings(Limits),
        "## Accounts with payment providers",
        "Read where `MONEYBACK_PROVIDERS` names the provider. What to set up at each of them is in [providers.md](providers.md).",
        *(part for account in ACCOUNTS.values() for part in (_heading(account), _settings(account))),
    )


def _heading(account: type[BaseSettings]) -> str:
    name, _, more = said(account).partition(". ")
    return "\n\n".join([f"### {name.rstrip('.')}", *([more] if more else [])])


def _settings(block: type[BaseSettings], *, but: tuple[str, ...] = ()) -> str:
    prefix = block.model_config.get("env_prefix", "")
    rows = []
    for name, facts in block.model_fields.items():
        secret = "SecretStr" in str(facts.annotation)
        default = _UNSET.get(facts.default, "set" if secret else f"`{facts.default}`")
        if name not in but:
            rows.append((f"`{prefix}{name.upper()}`{' 🔒' if secret else ''}", default, f"{facts.description}"))
    return table(("variable", "default", "what it is"), rows)


_UNSET = {PydanticUndefined: "must be set", None: "not set", (): "none"}
