"""`moneyback embed`: prints a text for a seller's own support page. The text describes the seller's current refund policy."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from html import escape
from typing import Annotated, Final
from urllib.parse import quote

import typer

from config.i18n import LANGUAGES, Translator, translator_for
from console.arguments import SellerId, require_seller
from console.environment import load_settings, records
from console.output import Json, print_json
from domain.policies import Category, Policy, Seller, in_force

QUICK: Final = "This self-service option allows you to get a refund quickly if all the requirements are met."
LINK: Final = "Request a refund"
WRITE: Final = "Questions? Please email {address}."
SAME_DAY: Final = (
    "On the day of your purchase, you may request a full refund, for any reason, using the self-service refund option."
)
NEXT_DAY: Final = (
    "Until the day after your purchase, you may request a full refund, for any reason, using the self-service "
    "refund option."
)
APPROVAL: Final = (
    "You may request a refund using the self-service refund option. Our support team reviews each request."
)

WORDING: Final[Mapping[Category | None, tuple[str, ...]]] = {
    Category.NO_RESTRICTIONS: (
        "You may request a full refund of your purchase at any time, for any reason, using the self-service refund option.",
        QUICK,
    ),
    Category.WITHIN_DAYS: (
        (
            "Within {days} days of your purchase, you may request a full refund, for any reason, using the "
            "self-service refund option."
        ),
        QUICK,
    ),
    Category.STATUTORY_WITHDRAWAL: (
        (
            "As a consumer, you may withdraw within 14 days of your purchase, without giving a reason, and get a "
            "full refund using the self-service refund option."
        ),
        QUICK,
        "For business purchases, our support team reviews each request.",
    ),
    Category.APPROVAL_REQUIRED: (APPROVAL,),
    Category.IN_HOUSE_SUPPORT: (APPROVAL,),
    Category.NO_REFUNDS: (
        "Purchases are not refundable, except where the law gives you the right to a refund.",
        "If you think it does, use the self-service refund option: our support team reviews each request.",
    ),
    None: (APPROVAL,),
}
"""The sentences for each category of a refund policy. The key None is for sellers without automatic refunds.

No sentence promises more than the policy allows.
"""

NO_RENEWALS: Final = "For subscription renewals, our support team reviews each request."
NOT_THESE: Final = "Our support team reviews each request for these products: {products}."


class Format(StrEnum):
    """The format in which the text is printed."""

    HTML = "html"
    TEXT = "text"


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(embed)


def embed(
    seller: SellerId,
    language: Annotated[
        str | None, typer.Option(help="One of " + ", ".join(LANGUAGES) + ". Default: all languages.")
    ] = None,
    as_: Annotated[Format, typer.Option("--format", help="html for a web page, text for an e-mail.")] = Format.TEXT,
    *,
    json: Json = False,
) -> None:
    """Print a text for the seller's own support page: the refund policy in force now, and a link to the refund form.

    Needs `MONEYBACK_DATABASE_URL` and `MONEYBACK_PUBLIC_URL`.

    Example: `moneyback embed aurora --language de --format html`
    """
    if language not in {None, *LANGUAGES}:
        raise typer.BadParameter(
            f"There is no language {language!r}. The languages are {', '.join(LANGUAGES)}.", param_hint="--language"
        )
    with records().work() as work:
        known_seller, policies = require_seller(work, seller), work.sellers.policies(seller)
    policy = in_force(policies, datetime.now(UTC))
    address = f"{load_settings().public_url.rstrip('/')}/refund?seller={quote(seller, safe='')}"
    languages = [language] if language else LANGUAGES
    texts = {tag: sentences(known_seller, policy, translator_for(tag)) for tag in languages}
    pages = {
        tag: {
            Format.HTML: as_html(text, translator_for(tag), f"{address}&lang={tag}"),
            Format.TEXT: as_text(text, translator_for(tag), f"{address}&lang={tag}"),
        }
        for tag, text in texts.items()
    }
    if json:
        print_json({tag: {str(format_): page for format_, page in printed.items()} for tag, printed in pages.items()})
        return
    typer.echo("\n".join(printed[as_] for printed in pages.values()), nl=False)


def sentences(seller: Seller, policy: Policy | None, translations: Translator) -> list[str]:
    """Return sentences in the language of ``translations``. They describe the seller's refund policy."""
    automatic = policy if policy and policy.category in _AUTOMATIC and seller.self_service else None
    no_refunds = policy is not None and policy.category is Category.NO_REFUNDS
    if automatic is None:
        wording = WORDING[Category.NO_REFUNDS if no_refunds else None]
    else:
        wording = (_SHORT.get(automatic.days, WORDING[automatic.category][0]), *WORDING[automatic.category][1:])
        wording += (NO_RENEWALS,) * automatic.renewals_excluded
        wording += (NOT_THESE,) * bool(automatic.excluded_products)
    facts = {
        "days": automatic.days if automatic else "",
        "products": ", ".join(sorted(automatic.excluded_products)) if automatic else "",
        "address": seller.support_email,
    }
    return [translations.gettext(sentence, **facts) for sentence in (*wording, WRITE)]


def as_text(sentences: list[str], translations: Translator, address: str) -> str:
    """Return the sentences and the link as text for an e-mail."""
    return f"{_joined(sentences, translations)}\n{translations.gettext(LINK)}: {address}\n"


def as_html(sentences: list[str], translations: Translator, address: str) -> str:
    """Return the sentences and the link as HTML without styles. So the styles of the seller's page apply."""
    text = escape(_joined(sentences, translations))
    link = f'<a href="{escape(address)}">{escape(translations.gettext(LINK))}</a>'
    return f'<div lang="{translations.language}">\n<p>{text}</p>\n<p>{link}</p>\n</div>\n'


def _joined(sentences: list[str], translations: Translator) -> str:
    return ("" if translations.language == "ja" else " ").join(sentences)  # Japanese has no spaces between sentences


_AUTOMATIC = {Category.NO_RESTRICTIONS, Category.WITHIN_DAYS, Category.STATUTORY_WITHDRAWAL}
_SHORT: Mapping[int | None, str] = {0: SAME_DAY, 1: NEXT_DAY}
