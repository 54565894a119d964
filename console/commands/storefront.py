"""`moneyback storefront`: shows and sets what customers see of a seller at /s/SELLER."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from console.arguments import SellerId, require_seller
from console.environment import records
from console.output import Json, print_json, table

app = typer.Typer(help="Show and set what customers see of a seller at /s/SELLER.", no_args_is_help=True)


@app.command()
def show(seller: SellerId, *, json: Json = False) -> None:
    """Show a seller's name, colour, website and technical support.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback storefront show aurora`
    """
    with records().work() as work:
        require_seller(work, seller)
        storefront = work.storefronts.get(seller)
    assert storefront
    if json:
        print_json(asdict(storefront))
        return
    rows = [(name.replace("_", " "), value or "–") for name, value in asdict(storefront).items()]
    table(f"Storefront of {seller}", ("what", "value"), rows)


@app.command("set")
def set_(
    seller: SellerId,
    colour: Annotated[
        str | None,
        typer.Option(
            metavar="#RRGGBB", help="The seller's colour. Moneyback adjusts a colour on which text is hard to read."
        ),
    ] = None,
    website: Annotated[str | None, typer.Option(metavar="URL", help="The seller's website, over https.")] = None,
    technical_support: Annotated[
        str | None, typer.Option(metavar="URL|EMAIL", help="Technical support: an e-mail address, or an https URL.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Set the values of the given options and keep the other values. An empty text removes a value.

    Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback storefront set aurora --colour '#1a5fb4' --website https://aurora.example`
    """
    from producers.purchase_schema import help_address, over_https
    from producers.web.pages.theme import Colour
    from records.storefronts import Storefront

    values = {
        "colour": _validate("--colour", colour, lambda text: str(Colour.read(text))),
        "website": _validate("--website", website, over_https),
        "technical_support": _validate("--technical-support", technical_support, help_address),
    }
    changes = {name: text or None for name, text in values.items() if text is not None}
    if not changes:
        raise typer.BadParameter("Say what to set: --colour, --website or --technical-support.")
    with records().work() as work:
        require_seller(work, seller)
        storefront = work.storefronts.get(seller)
        assert storefront
        changed = Storefront(**asdict(storefront) | changes)
        work.storefronts.upsert(changed)
    if json:
        print_json(asdict(changed))
    else:
        typer.echo(f"Customers of {storefront.name} see the changes at /s/{seller}.")


def _validate(option: str, text: str | None, read: Callable[[str], str]) -> str | None:
    if not text:
        return text
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(_message(error), param_hint=option) from None


def _message(error: ValueError) -> str:
    """Return the message of a validator without the text that pydantic adds to it."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return str(error)
