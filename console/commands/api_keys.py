"""`moneyback api-keys`: manages the API keys with which a seller's programs sign in."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from console.arguments import SellerId, require_seller
from console.environment import records
from console.output import Json, minute, print_json, table
from domain.api_scopes import DEFAULT_SCOPES, ApiScope

if TYPE_CHECKING:  # the package `records` is imported only when a command needs it
    from records.api_keys import ApiKey

app = typer.Typer(help="Create, list, rotate and revoke the API keys of sellers.", no_args_is_help=True)

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_MAX_DIGITS = 4


def _grace(text: str) -> timedelta:
    match = re.fullmatch(rf"(\d{{1,{_MAX_DIGITS}}})([mhd])", text)
    if match is None:
        raise typer.BadParameter("Write the time as 30m, 24h or 7d. With 0h, the old key ends immediately.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


KeyId = Annotated[
    UUID, typer.Argument(metavar="KEY", help="The key's id, from `moneyback api-keys list`; not the key itself.")
]


@app.command()
def create(
    seller: SellerId,
    name: Annotated[str, typer.Option(help="A name that helps to recognise the key, like 'web shop'.")] = "",
    scope: Annotated[
        list[ApiScope] | None,
        typer.Option(
            help="A permission of the key. Repeat the option for more scopes. Default: every scope except `trusted`."
        ),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Create an API key and print it once. Only the hash of the key is stored.

    Use the scope `trusted` if the seller's customers are signed in. An eligible refund is then made without a
    confirmation by e-mail. Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback api-keys create aurora --name "web shop"`
    """
    with records().work() as work:
        require_seller(work, seller)
        key, secret = work.api_keys.create(seller, scope or DEFAULT_SCOPES, name=name)
    _print_once(key, secret, json=json)


@app.command("list")
def list_(seller: SellerId, *, json: Json = False) -> None:
    """List a seller's API keys with their scopes, last use and end. The list includes revoked keys.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback api-keys list aurora`
    """
    with records().work() as work:
        require_seller(work, seller)
        keys = work.api_keys.for_seller(seller)
    if json:
        print_json([_public(key) for key in keys])
        return
    rows = [
        (
            key.id,
            key.name or "–",
            " ".join(sorted(key.scopes)),
            minute(key.created_at),
            "never" if key.last_used_at is None else minute(key.last_used_at),
            _end_of(key),
        )
        for key in keys
    ]
    columns = ("key", "name", "scopes", "created (UTC)", "last used (UTC)", "ends (UTC)")
    table(f"{len(rows)} API keys of {seller}", columns, rows)


@app.command()
def rotate(
    key: KeyId,
    grace: Annotated[
        timedelta,
        typer.Option(parser=_grace, metavar="24h", help="How long the old key still works, such as 30m, 24h or 7d."),
    ] = "24h",  # type: ignore[assignment]  # Typer parses the default, too
    *,
    json: Json = False,
) -> None:
    """Create a key with the name and scopes of an old key. The old key works until the grace period ends.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback api-keys rotate 01985a3e-7a3c-7000-8000-000000000001 --grace 7d`
    """
    with records().work() as work:
        rotated = work.api_keys.rotate(key, grace)
        old = work.api_keys.get(key)
    if rotated is None or old is None:
        raise _no_live_key(key)
    new, secret = rotated
    if not json:
        typer.echo(f"End of the old key (UTC): {_end_of(old)}", err=True)
    _print_once(new, secret, json=json, replaces=key, old_ends_at=old.expires_at)


@app.command()
def revoke(key: KeyId, *, json: Json = False) -> None:
    """Revoke a key immediately and permanently. Calls with the key get the status 401.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback api-keys revoke 01985a3e-7a3c-7000-8000-000000000001`
    """
    with records().work() as work:
        revoked = work.api_keys.revoke(key)
    if revoked is None:
        raise _no_live_key(key)
    if json:
        print_json(_public(revoked))
    else:
        typer.echo(f"The key {revoked.id} of {revoked.seller} is revoked.")


def _print_once(key: "ApiKey", secret: str, *, json: bool, **extra_fields: object) -> None:
    """Print the key. Without --json, standard output contains only the key, so that a script can read it."""
    if json:
        print_json(_public(key) | {"key": secret} | extra_fields)
        return
    typer.echo(f"The key {key.id} has the scopes {' '.join(sorted(key.scopes))}.", err=True)
    typer.echo("Store the key now: it is not shown again.", err=True)
    typer.echo(secret)


def _public(key: "ApiKey") -> dict[str, object]:
    return asdict(key) | {"scopes": sorted(key.scopes)}


def _end_of(key: "ApiKey") -> str:
    if key.expires_at is None:
        return "–"
    return "ended" if key.expires_at <= datetime.now(UTC) else minute(key.expires_at)


def _no_live_key(key: UUID) -> typer.BadParameter:
    return typer.BadParameter(
        f"No key that still works has the id {key}. `moneyback api-keys list` shows a seller's keys.",
        param_hint="KEY",
    )
