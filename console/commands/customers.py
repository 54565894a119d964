"""`moneyback customers`: shows and removes what is stored about a customer."""

from typing import TYPE_CHECKING, Annotated

import typer

from console.environment import records
from console.output import Json, out, print_json

if TYPE_CHECKING:  # the package `records` is imported only when a command needs it
    from records.personal_data import PersonalDataOfCustomer

app = typer.Typer(help="Show and remove what is stored about a customer.", no_args_is_help=True)

WHO = "moneyback customers forget"
"""Who removed the personal data, as the redacted history names it."""


@app.callback()
def _customers() -> None:
    """Keep `forget` a subcommand, although the group has only one command."""


@app.command()
def forget(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The e-mail address of the customer.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be removed, and what prevents it.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove the personal data of a customer, for a request under Article 17 GDPR. It cannot be undone.

    Removed are the address, names and texts in requests, answers, decisions, notes, withdrawals and e-mails, the details of the
    purchases, and the bodies of webhooks and dead letters. Amounts, dates, references, products, and the ids of payments and
    refunds stay, because books and the defence of claims need them (Article 17(3)(b) and (e)). The history stays provable. A
    second request for the same purchase is still recognised.

    Nothing is removed while a case of the customer is open: the command names the case and says what to do. Exit code 1 if
    something is open, or if nothing is stored about the customer. docs/personal-data.md lists what is outside of the database.
    Needs `MONEYBACK_DATABASE_URL`.

    Examples: `moneyback customers forget ada@shop.example --dry-run`, `moneyback customers forget ada@shop.example`
    """
    database = records()
    email = email.strip()
    if "@" not in email:
        raise typer.BadParameter("This is not an e-mail address.", param_hint="EMAIL")
    with database.work() as work:
        found = work.personal_data.find(email)
        messages = work.personal_data.count_messages(email, found.case_ids)
    is_removed = not (dry_run or found.obstacles)
    if is_removed:
        with database.work() as work:
            found = work.personal_data.forget(email, who=WHO)
        with (
            database.work() as work
        ):  # reading all stored messages may take minutes, so the cases are not locked meanwhile
            messages = work.personal_data.forget_messages(email, found.case_ids)
    is_unknown = found.is_empty and messages == 0
    if json:
        print_json(_public(found, messages) | {"removed": is_removed and not is_unknown})
    else:
        _print(email, found, messages, is_removed=is_removed)
    raise typer.Exit(1 if found.obstacles or is_unknown else 0)


def _public(found: "PersonalDataOfCustomer", messages: int) -> dict[str, object]:
    return {
        "cases": list(found.case_numbers),
        "purchases": found.purchases,
        "mails": found.mails,
        "inquiry_emails": found.inquiry_emails,
        "stored_messages": messages,
        "obstacles": list(found.obstacles),
    }


def _print(email: str, found: "PersonalDataOfCustomer", messages: int, *, is_removed: bool) -> None:
    if found.is_empty and messages == 0:
        typer.echo(f"Nothing is stored about {email}.", err=True)
        return
    numbers = f": {', '.join(found.case_numbers)}" if found.case_numbers else ""
    lines = [
        f"cases{numbers or ': 0'}",
        f"purchases: {found.purchases}",
        f"e-mails of the customer: {found.mails}",
        f"e-mails that answer a lookup: {found.inquiry_emails}",
        f"webhooks and dead letters that name the customer: {messages}",
    ]
    if is_removed:
        heading = f"Removed the personal data of {email}:"
    elif found.obstacles:
        heading = f"Nothing was removed, because something about {email} is still open. Stored are:"
    else:
        heading = f"Would remove the personal data of {email}:"
    out.print(heading, markup=False, highlight=False)
    for line in lines:
        out.print(f"  {line}", markup=False, highlight=False)
    for obstacle in found.obstacles:
        out.print(obstacle, markup=False, highlight=False)
