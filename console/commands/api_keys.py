"""The keys of sellers' programs."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from console.environment import records
from console.output import Json, print_json, table
from domain.scopes import USUAL, Scope

if TYPE_CHECKING:  # records are imported when a verb needs them
    from records.keys import Key

app = typer.Typer(help="Makes, shows, replaces and ends the keys of sellers' programs.", no_args_is_help=True)

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_MOST_DIGITS = 4


def _grace(text: str) -> timedelta:
    written = re.fullmatch(rf"(\d{{1,{_MOST_DIGITS}}})([mhd])", text)
    if written is None:
        raise typer.BadParameter("Write it as 30m, 24h or 7d; 0h ends the old key at once.")
    return timedelta(**{_UNITS[written[2]]: int(written[1])})


TheKey = Annotated[
    UUID, typer.Argument(metavar="KEY", help="The key's id, from `sellers key list`; not the key itself.")
]


@app.command()
def make(
    seller: str,
    name: Annotated[str, typer.Option(help="What it is for, to know it again by.")] = "",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it may do; may be repeated. All but trusted, if not given.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Makes a key. It is shown this once: only its hash is kept.

    With the scope trusted the seller's customers are signed in: what is eligible is paid without a confirmation by mail.
    """
    with records().work() as work:
        if work.sellers.one(seller) is None:
            raise typer.BadParameter(f"There is no seller {seller!r}. Add it with `moneyback sellers add`.")
        made, secret = work.keys.make(seller, scope or USUAL, name=name)
    _tell(made, secret, json=json)


@app.command("list")
def list_(seller: str, *, json: Json = False) -> None:
    """A seller's keys, with those that have ended: what each may do, and when it was last used."""
    with records().work() as work:
        keys = work.keys.of(seller)
    if json:
        print_json([_public(key) for key in keys])
        return
    rows = [
        (
            key.id, key.name or "–", " ".join(sorted(key.scopes)), _at(key.created_at),
            "never" if key.last_used_at is None else _at(key.last_used_at), _end_of(key),
        )
        for key in keys
    ]  # fmt: skip
    table(f"{len(rows)} keys of {seller}", ("key", "name", "may", "made (UTC)", "last used", "ends"), rows)


@app.command()
def rotate(
    key: TheKey,
    grace: Annotated[
        timedelta, typer.Option(parser=_grace, metavar="24h", help="How long the old key still works: 30m, 24h, 7d.")
    ] = "24h",  # type: ignore[assignment]  # a default is parsed as well
    *,
    json: Json = False,
) -> None:
    """Makes a new key with the name and scopes of an old one, which still works for a while."""
    with records().work() as work:
        rotated = work.keys.rotate(key, grace)
        old = work.keys.one(key)
    if rotated is None or old is None:
        raise _no_live_key(key)
    made, secret = rotated
    if not json:
        typer.echo(f"The old key ends: {_end_of(old)} UTC.", err=True)
    _tell(made, secret, json=json, replaces=str(key), old_ends_at=old.ends_at)


@app.command()
def end(key: TheKey, *, json: Json = False) -> None:
    """Ends a key now, for good. Whoever still uses it is answered 401."""
    with records().work() as work:
        ended = work.keys.end(key)
    if ended is None:
        raise _no_live_key(key)
    if json:
        print_json(_public(ended))
        return
    typer.echo(f"The key {ended.id} of {ended.seller} has ended.")


def _tell(made: "Key", secret: str, *, json: bool, **more: object) -> None:
    """The key alone on standard output, so that a script can take it from there."""
    if json:
        print_json(_public(made) | {"key": secret} | more)
        return
    typer.echo(f"The key {made.id} may: {' '.join(sorted(made.scopes))}. Keep it now: it is not shown again.", err=True)
    typer.echo(secret)


def _public(key: "Key") -> dict[str, object]:
    return asdict(key) | {"scopes": sorted(key.scopes)}


def _end_of(key: "Key") -> str:
    if key.ends_at is None:
        return "–"
    return "ended" if key.ends_at <= datetime.now(UTC) else _at(key.ends_at)


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _no_live_key(key: UUID) -> typer.BadParameter:
    return typer.BadParameter(f"There is no key {key} that still works. `moneyback sellers key list` names them.")
