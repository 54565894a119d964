"""`moneyback shopfront`: what customers see of a seller."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from console.environment import records
from console.output import Json, print_json, table

app = typer.Typer(help="Shows and sets what customers see of a seller at /s/SELLER.", no_args_is_help=True)


@app.command()
def show(seller: str, *, json: Json = False) -> None:
    """A seller's name, colour, website and support."""
    with records().work() as work:
        front = work.shopfronts.one(seller)
    if front is None:
        raise typer.BadParameter(f"There is no seller {seller!r}. `moneyback sellers list` names them.")
    if json:
        print_json(asdict(front))
        return
    rows = [(name.replace("_", " "), value or "–") for name, value in asdict(front).items()]
    table(f"Shopfront of {seller}", ("what", "value"), rows)


@app.command("set")
def set_(
    seller: str,
    colour: Annotated[
        str | None, typer.Option(help="Like #1a5fb4; made darker or brighter where it reads badly.")
    ] = None,
    website: Annotated[str | None, typer.Option(help="Over https.")] = None,
    technical_support: Annotated[str | None, typer.Option(help="An e-mail address, or an address over https.")] = None,
) -> None:
    """Sets what is given and leaves the rest; an empty text takes something away."""
    from producers.purchases import help_address, over_https
    from producers.web.colours import Colour
    from records.shopfronts import Shopfront

    said = {
        "colour": _checked("--colour", colour, lambda text: str(Colour.read(text))),
        "website": _checked("--website", website, over_https),
        "technical_support": _checked("--technical-support", technical_support, help_address),
    }
    changes = {name: text or None for name, text in said.items() if text is not None}
    if not changes:
        raise typer.BadParameter("Say what to set: --colour, --website or --technical-support.")
    with records().work() as work:
        front = work.shopfronts.one(seller)
        if front is None:
            raise typer.BadParameter(f"There is no seller {seller!r}. Add it with `moneyback sellers add`.")
        work.shopfronts.put(Shopfront(**asdict(front) | changes))
    typer.echo(f"Customers of {front.name} see it at /s/{seller}.")


def _checked(option: str, text: str | None, read: Callable[[str], str]) -> str | None:
    if not text:
        return text
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(_sentence(error), param_hint=option) from None


def _sentence(error: ValueError) -> str:
    """Pydantic's own error holds the sentences of others."""
    from pydantic import ValidationError

    return (
        str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        if isinstance(error, ValidationError)
        else str(error)
    )
