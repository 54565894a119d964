"""What a seller's support page can say, and what customers see of the seller: the console's two verbs for it."""

import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from config.i18n import LANGUAGES, translator_for
from config.settings import Settings
from console.cli import app
from console.commands import embed, storefront
from console.commands.embed import sentences
from domain.policies import Category
from records import Records
from tests.sample_data import a_policy, a_seller, store_seller_and_purchases

Verb = Callable[..., Result]


@pytest.fixture
def verb(settings: Settings, records: Records, monkeypatch: pytest.MonkeyPatch) -> Verb:
    """The command, as a seller's operator types it."""
    store_seller_and_purchases(records)
    for module in (embed, storefront):
        monkeypatch.setattr(module, "records", lambda: records)
    monkeypatch.setattr(embed, "load_settings", lambda: settings)
    return lambda *words: CliRunner().invoke(app, words)


def said(category: Category, **changes: Any) -> str:
    days = 30 if category is Category.WITHIN_DAYS else None
    seller = a_seller(**{name: changes.pop(name) for name in ("self_service",) if name in changes})
    return " ".join(sentences(seller, a_policy(**{"category": category, "days": days} | changes), translator_for("en")))


# The wording


@pytest.mark.parametrize(
    ("days", "begins"),
    [
        (0, "On the day of your purchase, you may request a full refund, for any reason"),
        (1, "Until the day after your purchase, you may request a full refund, for any reason"),
        (30, "Within 30 days of your purchase, you may request a full refund, for any reason"),
    ],
)
def test_the_days_are_those_of_the_policy(days: int, begins: str) -> None:
    assert said(Category.WITHIN_DAYS, days=days).startswith(begins)


@pytest.mark.parametrize("category", Category)
def test_only_what_is_automatic_is_promised(category: Category) -> None:
    text = said(category)
    automatic = {Category.NO_RESTRICTIONS, Category.WITHIN_DAYS, Category.STATUTORY_WITHDRAWAL}
    assert ("full refund" in text) == (category in automatic)
    assert ("14 days" in text) == (category is Category.STATUTORY_WITHDRAWAL)
    assert "help@aurora.example" in text
    assert "{" not in text


def test_each_category_has_a_wording_of_its_own() -> None:
    own = {category: said(category) for category in Category}
    del own[Category.IN_HOUSE_SUPPORT]  # for a customer it is the same as approval: a person decides
    assert len(set(own.values())) == len(own)


def test_with_self_service_off_nothing_is_promised() -> None:
    assert said(Category.NO_RESTRICTIONS, self_service=False) == said(Category.APPROVAL_REQUIRED)


def test_what_is_excepted_is_said() -> None:
    text = said(Category.WITHIN_DAYS, renewals_excluded=True, excluded_products=frozenset({"Photo 5", "Photo 3"}))
    assert "renewals" in text
    assert "Photo 3, Photo 5" in text


def test_a_seller_without_a_policy_promises_nothing() -> None:
    assert "full refund" not in " ".join(sentences(a_seller(), None, translator_for("en")))


# The verbs


def test_the_wording_is_of_the_policy_in_force_now_in_the_language_and_form_asked_for(
    verb: Verb, records: Records, settings: Settings
) -> None:
    with records.work() as work:
        for days, when in ((7, -1), (99, 1)):
            start = datetime.now(UTC) + timedelta(days=when)
            work.sellers.new_policy("aurora", Category.WITHIN_DAYS, days=days, in_force_from=start)
    text = verb("embed", "aurora", "--language", "en").stdout
    assert text.startswith("Within 7 days of your purchase")
    assert f"{settings.public_url}/refund?seller=aurora&lang=en" in text
    page = verb("embed", "aurora", "--language", "de", "--format", "html").stdout
    assert page.startswith('<div lang="de">')
    (address,) = re.findall(r'href="([^"]+)"', page)
    assert html.unescape(address) == f"{settings.public_url}/refund?seller=aurora&lang=de"


def test_every_language_is_there_for_a_machine(verb: Verb) -> None:
    told = json.loads(verb("embed", "aurora", "--json").stdout)
    assert list(told) == list(LANGUAGES)
    assert all(set(forms) == {"html", "text"} for forms in told.values())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("embed", "nobody"), "There is no seller 'nobody'"),
        (("embed", "aurora", "--language", "xx"), "There is no 'xx'"),
        (("storefront", "show", "nobody"), "There is no seller 'nobody'"),
        (("storefront", "set", "nobody", "--colour", "#123456"), "There is no seller 'nobody'"),
        (("storefront", "set", "aurora"), "Say what to set"),
        (("storefront", "set", "aurora", "--colour", "blue"), "six hexadecimal digits"),
        (("storefront", "set", "aurora", "--website", "http://aurora.example"), "an https URL"),
        (("storefront", "set", "aurora", "--technical-support", "us"), "not an e-mail address"),
    ],
)
def test_what_cannot_be_is_a_sentence(verb: Verb, words: tuple[str, ...], says: str) -> None:
    done = verb(*words)
    assert done.exit_code == 2
    assert says in re.sub(r"[\s│]+", " ", done.stderr)


def test_a_storefront_is_set_a_part_at_a_time(verb: Verb) -> None:
    assert verb("storefront", "set", "aurora", "--colour", "#8A2BE2").exit_code == 0
    assert verb("storefront", "set", "aurora", "--technical-support", "pro@aurora.example").exit_code == 0
    front = json.loads(verb("storefront", "show", "aurora", "--json").stdout)
    assert (front["colour"], front["technical_support"]) == ("#8a2be2", "pro@aurora.example")
    assert verb("storefront", "set", "aurora", "--colour", "").exit_code == 0
    front = json.loads(verb("storefront", "show", "aurora", "--json").stdout)
    assert (front["colour"], front["technical_support"]) == (None, "pro@aurora.example")
