"""`moneyback embed`: what a seller's own support page can say about refunds, from the policy that is in force now."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from html import escape
from typing import Annotated, Final
from urllib.parse import quote

import typer

from config.speech import LANGUAGES, Speech, speech
from console.environment import load_settings, records
from console.output import Json, print_json
from domain.policies import Category, Policy, Seller, in_force

QUICK: Final = "This self-service option lets you get your money back quickly if all the requirements are met."
LINK: Final = "Ask for a refund"
WRITE: Final = "Questions? Please write to {address}."
SAME_DAY: Final = (
    "On the day of your purchase you may request a full refund, for any reason, using the self-service refund option."
)
NEXT_DAY: Final = (
    "Until the day after your purchase you may request a full refund, for any reason, using the self-service refund "
    "option."
)
APPROVAL: Final = "You may request a refund using the self-service refund option. A person decides about each request."

WORDING: Final[Mapping[Category | None, tuple[str, ...]]] = {
    Category.NO_RESTRICTIONS: (
        "You may request a full refund of your purchase at any time, for any reason, using the self-service refund option.",
        QUICK,
    ),
    Category.WITHIN_DAYS: (
        (
            "Within {days} days of your purchase you may request a full refund, for any reason, using the self-service "
            "refund option."
        ),
        QUICK,
    ),
    Category.STATUTORY_WITHDRAWAL: (
        (
            "As a consumer you may withdraw within 14 days of your purchase, without giving a reason, and get a full "
            "refund using the self-service refund option."
        ),
        QUICK,
        "For purchases of businesses a person decides about each request.",
    ),
    Category.APPROVAL_REQUIRED: (APPROVAL,),
    Category.IN_HOUSE_SUPPORT: (APPROVAL,),
    Category.NO_REFUNDS: (
        "Purchases are not refunded, except where the law gives you the right to a refund.",
        "If you think that it does, use the self-service refund option: a person decides about each request.",
    ),
    None: (APPROVAL,),
}
"""What each category says, and no policy at all. A sentence promises nothing that the policy does not keep."""

NO_RENEWALS: Final = "For renewals of subscriptions a person decides about each request."
NOT_THESE: Final = "A person decides about each request for these products: {products}."


class Format(StrEnum):
    """How the wording is printed."""

    HTML = "html"
    TEXT = "text"


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(embed)


def embed(
    seller: str,
    language: Annotated[
        str | None, typer.Option(help="One of " + ", ".join(LANGUAGES) + "; all, if not given.")
    ] = None,
    as_: Annotated[Format, typer.Option("--format", help="For a page, or for a mail.")] = Format.TEXT,
    *,
    json: Json = False,
) -> None:
    """Prints the wording for a seller's support page, with the link to the refund form, from the policy in force now."""
    if language not in {None, *LANGUAGES}:
        raise typer.BadParameter(
            f"There is no {language!r}; there are {', '.join(LANGUAGES)}.", param_hint="--language"
        )
    with records().work() as work:
        found, policies = work.sellers.one(seller), work.sellers.policies(seller)
    if found is None:
        raise typer.BadParameter(f"There is no seller {seller!r}. `moneyback sellers list` names them.")
    policy = in_force(policies, datetime.now(UTC))
    address = f"{load_settings().public_url.rstrip('/')}/refund?seller={quote(seller, safe='')}"
    spoken = {tag: sentences(found, policy, speech(tag)) for tag in ([language] if language else LANGUAGES)}
    pages = {
        tag: {
            Format.HTML: as_html(said, speech(tag), f"{address}&lang={tag}"),
            Format.TEXT: as_text(said, speech(tag), f"{address}&lang={tag}"),
        }
        for tag, said in spoken.items()
    }
    if json:
        print_json({tag: {str(format_): page for format_, page in printed.items()} for tag, printed in pages.items()})
        return
    typer.echo("\n".join(printed[as_] for printed in pages.values()), nl=False)


def sentences(seller: Seller, policy: Policy | None, said: Speech) -> list[str]:
    """What is true of this seller's refunds today."""
    automatic = policy if policy and policy.category in _AUTOMATIC and seller.self_service else None
    refused = policy is not None and policy.category is Category.NO_REFUNDS
    if automatic is None:
        told = WORDING[Category.NO_REFUNDS if refused else None]
    else:
        told = (_SHORT.get(automatic.days, WORDING[automatic.category][0]), *WORDING[automatic.category][1:])
        told += (NO_RENEWALS,) * automatic.renewals_excepted
        told += (NOT_THESE,) * bool(automatic.excepted_products)
    facts = {
        "days": automatic.days if automatic else "",
        "products": ", ".join(sorted(automatic.excepted_products)) if automatic else "",
        "address": seller.support_email,
    }
    return [said.say(sentence, **facts) for sentence in (*told, WRITE)]


def as_text(sentences: list[str], said: Speech, address: str) -> str:
    """For a mail."""
    return f"{_together(sentences, said)}\n{said.say(LINK)}: {address}\n"


def as_html(sentences: list[str], said: Speech, address: str) -> str:
    """For a page: plain elements, so that it takes on the page's own looks."""
    text = escape(_together(sentences, said))
    link = f'<a href="{escape(address)}">{escape(said.say(LINK))}</a>'
    return f'<div lang="{said.language}">\n<p>{text}</p>\n<p>{link}</p>\n</div>\n'


def _together(sentences: list[str], said: Speech) -> str:
    return ("" if said.language == "ja" else " ").join(sentences)  # Japanese has no spaces between sentences


_AUTOMATIC = {Category.NO_RESTRICTIONS, Category.WITHIN_DAYS, Category.STATUTORY_WITHDRAWAL}
_SHORT: Mapping[int | None, str] = {0: SAME_DAY, 1: NEXT_DAY}
