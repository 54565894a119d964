"""The commands `embed` and `storefront`: texts for a seller's website, and the look of the seller's pages."""

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

RunCommand = Callable[..., Result]


@pytest.fixture
def run_command(settings: Settings, records: Records, monkeypatch: pytest.MonkeyPatch) -> RunCommand:
    """Store a seller, and return a function that runs a command of the console."""
    store_seller_and_purchases(records)
    for module in (embed, storefront):
        monkeypatch.setattr(module, "records", lambda: records)
    monkeypatch.setattr(embed, "load_settings", lambda: settings)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def wording(category: Category, **changes: Any) -> str:
    days = 30 if category is Category.WITHIN_DAYS else None
    seller = a_seller(**{name: changes.pop(name) for name in ("self_service",) if name in changes})
    return " ".join(sentences(seller, a_policy(**{"category": category, "days": days} | changes), translator_for("en")))


# The wording


@pytest.mark.parametrize(
    ("days", "beginning"),
    [
        (0, "On the day of your purchase, you may request a full refund, for any reason"),
        (1, "Until the day after your purchase, you may request a full refund, for any reason"),
        (30, "Within 30 days of your purchase, you may request a full refund, for any reason"),
    ],
)
def test_the_wording_contains_the_days_of_the_policy(days: int, beginning: str) -> None:
    assert wording(Category.WITHIN_DAYS, days=days).startswith(beginning)


@pytest.mark.parametrize("category", Category)
def test_only_automatic_refunds_are_promised(category: Category) -> None:
    text = wording(category)
    automatic = {Category.NO_RESTRICTIONS, Category.WITHIN_DAYS, Category.STATUTORY_WITHDRAWAL}
    assert ("full refund" in text) == (category in automatic)
    assert ("14 days" in text) == (category is Category.STATUTORY_WITHDRAWAL)
    assert "help@aurora.example" in text
    assert "{" not in text


def test_each_policy_category_has_its_own_wording() -> None:
    wordings = {category: wording(category) for category in Category}
    del wordings[Category.IN_HOUSE_SUPPORT]  # same wording as APPROVAL_REQUIRED, because support decides in both
    assert len(set(wordings.values())) == len(wordings)


def test_nothing_is_promised_if_self_service_is_off() -> None:
    assert wording(Category.NO_RESTRICTIONS, self_service=False) == wording(Category.APPROVAL_REQUIRED)


def test_the_wording_names_the_exclusions() -> None:
    text = wording(Category.WITHIN_DAYS, renewals_excluded=True, excluded_products=frozenset({"Photo 5", "Photo 3"}))
    assert "renewals" in text
    assert "Photo 3, Photo 5" in text


def test_without_a_policy_the_wording_promises_nothing() -> None:
    assert "full refund" not in " ".join(sentences(a_seller(), None, translator_for("en")))


# The commands


def test_embed_prints_the_current_policy_in_the_given_language_and_format(
    run_command: RunCommand, records: Records, settings: Settings
) -> None:
    with records.work() as work:
        for days, offset in ((7, -1), (99, 1)):
            start = datetime.now(UTC) + timedelta(days=offset)
            work.sellers.new_policy("aurora", Category.WITHIN_DAYS, days=days, in_force_from=start)
    text = run_command("embed", "aurora", "--language", "en").stdout
    assert text.startswith("Within 7 days of your purchase")
    assert f"{settings.public_url}/refund?seller=aurora&lang=en" in text
    page = run_command("embed", "aurora", "--language", "de", "--format", "html").stdout
    assert page.startswith('<div lang="de">')
    (address,) = re.findall(r'href="([^"]+)"', page)
    assert html.unescape(address) == f"{settings.public_url}/refund?seller=aurora&lang=de"


def test_embed_prints_all_languages_as_json(run_command: RunCommand) -> None:
    texts = json.loads(run_command("embed", "aurora", "--json").stdout)
    assert list(texts) == list(LANGUAGES)
    assert all(set(forms) == {"html", "text"} for forms in texts.values())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("embed", "nobody"), "There is no seller 'nobody'"),
        (("embed", "aurora", "--language", "xx"), "There is no language 'xx'"),
        (("storefront", "show", "nobody"), "There is no seller 'nobody'"),
        (("storefront", "set", "nobody", "--colour", "#123456"), "There is no seller 'nobody'"),
        (("storefront", "set", "aurora"), "Say what to set"),
        (("storefront", "set", "aurora", "--colour", "blue"), "six hexadecimal digits"),
        (("storefront", "set", "aurora", "--website", "http://aurora.example"), "an https URL"),
        (("storefront", "set", "aurora", "--technical-support", "us"), "not an e-mail address"),
    ],
)
def test_an_invalid_embed_or_storefront_command_gives_an_error_sentence(
    run_command: RunCommand, arguments: tuple[str, ...], sentence: str
) -> None:
    result = run_command(*arguments)
    assert result.exit_code == 2
    assert sentence in re.sub(r"[\s│]+", " ", result.stderr)


def test_storefront_set_changes_only_the_given_values(run_command: RunCommand) -> None:
    assert run_command("storefront", "set", "aurora", "--colour", "#8A2BE2").exit_code == 0
    assert run_command("storefront", "set", "aurora", "--technical-support", "pro@aurora.example").exit_code == 0
    stored = json.loads(run_command("storefront", "show", "aurora", "--json").stdout)
    assert (stored["colour"], stored["technical_support"]) == (
        "#8a2be2",
        "pro@aurora.example",
    )
    assert run_command("storefront", "set", "aurora", "--colour", "").exit_code == 0
    stored = json.loads(run_command("storefront", "show", "aurora", "--json").stdout)
    assert (stored["colour"], stored["technical_support"]) == (None, "pro@aurora.example")
