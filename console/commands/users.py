"""`moneyback users`: manages the users of the support desk, their roles and their sessions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from console.arguments import require_seller
from console.environment import load_settings, records
from console.output import Json, minute, print_json, table
from domain.desk_roles import Role
from domain.desk_users import DeskUser, RoleGrant

if TYPE_CHECKING:  # the package `records` is imported only when a command needs it
    from records import UnitOfWork
    from records.desk_users import ListedUser

app = typer.Typer(
    help="Add, list and remove the users of the support desk, and set their roles.\n\n"
    "Roles: `agent` decides cases; `lead` also decides above the seller's limit and confirms decisions; `seller_admin` "
    "manages users; `auditor` only reads.",
    no_args_is_help=True,
)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The e-mail address with which the user signs in.")]
Roles = Annotated[
    list[Role], typer.Option("--role", help="A role of the user. Repeat the option for more roles.", show_default=False)
]
Sellers = Annotated[
    list[str] | None,
    typer.Option(
        "--seller",
        metavar="SELLER",
        help="The seller for whom the roles hold. Repeat it, or leave it out for all sellers.",
    ),
]


@app.command()
def add(
    email: Email,
    name: Annotated[str, typer.Argument(help="The name that other users read.")],
    role: Roles,
    seller: Sellers = None,
    *,
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="Ask for a first password instead of creating an invitation.")
    ] = False,
    json: Json = False,
) -> None:
    """Add a user, and print an invitation once: a link with which the user sets a password.

    With --ask-password, type a password that the user must change at the first sign-in. Needs `MONEYBACK_DATABASE_URL` and
    `MONEYBACK_DESK_URL`.

    Example: `moneyback users add ada@shop.example "Ada Lovelace" --role agent --seller aurora`
    """
    _require_email(email)
    password_hash = _ask_password(email) if ask_password else None
    with records().work() as work:
        grants = _grants(work, role, seller or [])
        user = work.desk_users.add(email, name, grants, actor=None, password_hash=password_hash)
        if user is None:
            raise typer.BadParameter(
                f"A user has the address {email}. `moneyback users set-role` changes the roles, and `moneyback users invite` "
                "creates another invitation.",
                param_hint="EMAIL",
            )
        link = None if password_hash else _invite(work, email)
    _print_link(email, link, json=json)


@app.command()
def invite(email: Email, *, json: Json = False) -> None:
    """Print a new invitation for a user who lost the password or the authenticator app. An earlier invitation ends.

    The user keeps the password until the invitation is used. Then the authenticator app must be set up again, and all
    sessions end. First make sure that the request is from the user. Needs `MONEYBACK_DATABASE_URL` and `MONEYBACK_DESK_URL`.

    Example: `moneyback users invite ada@shop.example`
    """
    with records().work() as work:
        link = _invite(work, _require_user(work, email).user.email)
    _print_link(email, link, json=json)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List every user with roles, last sign-in, and whether the authenticator app is set up.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback users list`
    """
    with records().work() as work:
        users = work.desk_users.list_all()
    if json:
        print_json([_public(listed) for listed in users])
        return
    rows = [
        (
            listed.user.email,
            listed.user.name,
            ", ".join(_roles_of(listed.user)) or "–",
            "on" if listed.has_totp else "off",
            "never" if listed.signed_in_at is None else minute(listed.signed_in_at),
            _invitation_of(listed),
        )
        for listed in users
    ]
    columns = ("e-mail", "name", "roles", "app", "last sign-in (UTC)", "invitation until (UTC)")
    table(f"{len(rows)} users", columns, rows)


@app.command("set-role")
def set_role(
    email: Email,
    role: Annotated[
        list[Role] | None,
        typer.Argument(
            metavar="[ROLE]…", help="The roles. Without a role, the user loses the roles.", show_default=False
        ),
    ] = None,
    seller: Sellers = None,
    *,
    json: Json = False,
) -> None:
    """Set the roles of a user for a seller, or for all sellers. They replace the roles for the same seller.

    All sessions of the user end. Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback users set-role ada@shop.example agent lead --seller aurora`
    """
    with records().work() as work:
        user = _require_user(work, email).user
        locked = work.desk_users.lock(user.id) or user
        replaced = set(seller or [""])
        kept = {grant for grant in locked.grants if grant.seller_id not in replaced}
        work.desk_users.set_grants(user.id, kept | set(_grants(work, role or [], seller or [])), actor=None)
        changed = _require_user(work, email)
    if json:
        print_json(_public(changed))
    else:
        typer.echo(f"{email}: {', '.join(_roles_of(changed.user)) or 'no role'}. All sessions of the user have ended.")


@app.command()
def remove(email: Email, *, json: Json = False) -> None:
    """Remove a user. All sessions end, and the user can no longer sign in. The history keeps the address.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback users remove ada@shop.example`
    """
    with records().work() as work:
        user = _require_user(work, email).user
        work.desk_users.remove(user.id, actor=None)
    if json:
        print_json({"email": user.email, "removed": True})
    else:
        typer.echo(f"{user.email} is removed.")


@app.command("end-sessions")
def end_sessions(email: Email, *, json: Json = False) -> None:
    """End all sessions of a user, for example after a laptop was lost. The user can sign in again.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback users end-sessions ada@shop.example`
    """
    with records().work() as work:
        user = _require_user(work, email).user
        ended = work.desk_sessions.end_all(user.id, actor=None)
    if json:
        print_json({"email": user.email, "ended_sessions": ended})
    else:
        typer.echo(f"{ended} session{'' if ended == 1 else 's'} of {user.email} ended.")


def _grants(work: "UnitOfWork", roles: Sequence[Role], sellers: Sequence[str]) -> list[RoleGrant]:
    for seller in sellers:
        require_seller(work, seller, "--seller")
    return [RoleGrant(role, seller) for role in roles for seller in sellers or [""]]


def _invite(work: "UnitOfWork", email: str) -> str:
    desk = load_settings().desk
    user = _require_user(work, email).user
    return f"{desk.url}/invitation/{work.desk_users.invite(user.id, seconds=desk.invitation_seconds, actor=None)}"


def _require_user(work: "UnitOfWork", email: str) -> "ListedUser":
    listed = work.desk_users.find(email)
    if listed is None:
        raise typer.BadParameter(
            f"No user has the address {email!r}. `moneyback users list` shows all users.", param_hint="EMAIL"
        )
    return listed


def _require_email(email: str) -> None:
    from email_validator import EmailNotValidError, validate_email

    try:
        validate_email(email, check_deliverability=False)
    except EmailNotValidError:
        raise typer.BadParameter(
            f"{email!r} is not an e-mail address like name@example.com.", param_hint="EMAIL"
        ) from None


def _ask_password(email: str) -> str:
    from producers.desk.accounts.passwords import hash_password, refusal_of

    password = typer.prompt("First password of the user", hide_input=True, confirmation_prompt=True, err=True)
    if refusal := refusal_of(password, email):
        raise typer.BadParameter(refusal, param_hint="--ask-password")
    return hash_password(password)


def _print_link(email: str, link: str | None, *, json: bool) -> None:
    """Print the invitation. Without --json, standard output contains only the link, so that a script can read it."""
    if json:
        print_json({"email": email, "invitation": link})
    elif link is None:
        typer.echo(f"{email} can sign in, and must then change the password.")
    else:
        hours = load_settings().desk.invitation_seconds / 3600
        typer.echo(f"Send this link to {email}. It works once, for {hours:g} hours, and is not shown again.", err=True)
        typer.echo(link)


def _public(listed: "ListedUser") -> dict[str, object]:
    return {
        "email": listed.user.email,
        "name": listed.user.name,
        "roles": [{"role": grant.role, "seller": grant.seller_id or None} for grant in sorted(listed.user.grants)],
        "has_password": listed.has_password,
        "has_totp": listed.has_totp,
        "created_at": listed.created_at,
        "signed_in_at": listed.signed_in_at,
        "invitation_expires_at": listed.invitation_expires_at,
    }


def _roles_of(user: DeskUser) -> list[str]:
    return [f"{grant.role} of {grant.seller_id or 'all sellers'}" for grant in sorted(user.grants)]


def _invitation_of(listed: "ListedUser") -> str:
    expires_at = listed.invitation_expires_at
    if expires_at is None:
        return "–"
    return "ended" if expires_at <= datetime.now(UTC) else minute(expires_at)
