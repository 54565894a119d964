"""What holds of every page, over HTTP on a real database."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import QueuePool

from config.i18n import LANGUAGES, translator_for
from config.settings import Settings
from config.signed_links import Purpose
from producers.web.app import app
from producers.web.middleware import HEADERS
from producers.web.templating import Templates
from records import Records
from tests.integration._web_fixtures import Site, serve, store_email


@pytest.fixture
def away(settings: Settings) -> Iterator[httpx.Client]:
    """The web while its database is away."""
    dead = SecretStr("postgresql://moneyback@127.0.0.1:1/nowhere")
    with serve(app(settings.model_copy(update={"database_url": dead}))) as web:
        yield web


# Every page


@pytest.mark.parametrize(
    "path",
    ["/", "/refund", "/refund/sent", "/docs", "/problems/not_found", "/static/moneyback.css", "/nope", "/v1/nope"],
)
def test_every_answer_carries_the_safe_headers(site: Site, path: str) -> None:
    answer = site.web.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value or (name == "cache-control" and path in {"/", "/docs"})
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/refund", "/refund/sent", "/docs", "/problems/not_found", "/nope"])
def test_a_page_is_small_and_asks_nobody_else_for_anything(site: Site, path: str) -> None:
    page = site.web.get(path).text
    assert len(page) + len(site.web.get("/static/moneyback.css").text) < 50_000
    assert "<script" not in page
    assert "style=" not in page
    assert not re.findall(r'(?:src|href|action)="(?!/|#|mailto:)', page)
    assert "default-src 'none'" in site.web.get(path).headers["content-security-policy"]


def test_a_page_served_by_tls_asks_for_tls_from_then_on(settings: Settings) -> None:
    with serve(app(settings.model_copy(update={"public_url": "https://refunds.example"}))) as web:
        assert web.get("/").headers["strict-transport-security"] == "max-age=31536000"


def test_the_help_centre_answers_and_leads_to_the_form(site: Site) -> None:
    page = site.web.get("/").text
    assert 'href="/refund"' in page
    for topic in ("Payment", "Delivery", "Contact us"):
        assert topic in page


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_page_that_takes_no_such_method_says_so(site: Site, method: str) -> None:
    answer = site.web.request(method, "/")
    assert answer.status_code == 405
    assert "doesn’t support this action" in answer.text


# Pages about a case, whichever


@pytest.mark.parametrize("purpose", [Purpose.CONFIRM, Purpose.STATUS])
def test_a_page_about_a_case_says_so_while_the_database_is_away(
    site: Site, away: httpx.Client, purpose: Purpose
) -> None:
    answer = away.get(site.link_path(purpose, uuid4()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Nothing was sent" in answer.text
    assert "127.0.0.1" not in answer.text


# The mailbox of the demo


@pytest.fixture
def demo(settings: Settings) -> Iterator[tuple[httpx.Client, Path]]:
    """The web with its mailbox page, and the folder of the letters."""
    assert settings.sent_mail_dir
    with serve(app(settings.model_copy(update={"mailbox_page": True}))) as web:
        yield web, settings.sent_mail_dir


@pytest.mark.parametrize("changes", [{"mailbox_page": False}, {"mailbox_page": True, "sent_mail_dir": None}])
def test_there_is_no_mailbox_page_unless_the_settings_say_so(settings: Settings, changes: dict[str, Any]) -> None:
    with serve(app(settings.model_copy(update=changes))) as web:
        assert web.get("/mailbox").status_code == 404


def test_a_mailbox_without_letters_says_so(demo: tuple[httpx.Client, Path]) -> None:
    assert "No emails yet." in demo[0].get("/mailbox").text


def test_a_letter_is_shown_as_text_and_only_our_own_links_can_be_clicked(demo: tuple[httpx.Client, Path]) -> None:
    web, folder = demo
    body = "Open http://testserver/confirm/abc.\n<b>Not</b> https://evil.example/x http://testserver.evil.example/y\n"
    store_email(folder, "Start your refund <now>", body)
    page = web.get("/mailbox").text
    assert "Start your refund &lt;now&gt;" in page
    assert "ada@example.com" in page
    letter = web.get(re.findall(r'href="(/mailbox/[^"]+)"', page)[0]).text
    assert '<a href="http://testserver/confirm/abc">http://testserver/confirm/abc</a>.' in letter
    assert "&lt;b&gt;Not&lt;/b&gt; https://evil.example/x http://testserver.evil.example/y" in letter


@pytest.mark.parametrize("name", ["nothing", "%2e%2e%2fsecret", "new", "%00"])
def test_a_name_that_is_not_in_the_list_is_never_opened(demo: tuple[httpx.Client, Path], name: str) -> None:
    store_email(demo[1], "One", "letter")
    (demo[1].parent / "secret").write_text("hidden")
    assert demo[0].get(f"/mailbox/{name}").status_code == 404


def test_a_web_that_warmed_up_has_every_template_in_every_language_ready() -> None:
    paper = Templates()
    paper.warm()
    for language in LANGUAGES:
        press = paper.environment(translator_for(language))
        assert press.cache is not None
        assert len(press.cache) == len(press.list_templates())


def test_connections_are_opened_ahead_where_the_database_is_there(settings: Settings) -> None:
    books = Records.of(settings, pool=3)
    books.warm_up(3)
    assert isinstance(books.engine.pool, QueuePool)
    assert books.engine.pool.checkedin() == 3
    books.engine.dispose()


def test_a_web_starts_without_its_database_all_the_same(settings: Settings) -> None:
    nowhere = SecretStr("postgresql://moneyback@/moneyback?host=/nowhere")
    Records.of(settings.model_copy(update={"database_url": nowhere}), pool=3).warm_up(3)
