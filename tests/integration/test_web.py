"""Tests of all pages, over HTTP and with a real database."""

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
def web_without_database(settings: Settings) -> Iterator[httpx.Client]:
    """Yield a client of a web server whose database is unavailable."""
    unreachable = SecretStr("postgresql://moneyback@127.0.0.1:1/nowhere")
    with serve(app(settings.model_copy(update={"database_url": unreachable}))) as web:
        yield web


# Every page


@pytest.mark.parametrize(
    "path",
    ["/", "/refund", "/refund/sent", "/docs", "/problems/not_found", "/static/moneyback.css", "/nope", "/v1/nope"],
)
def test_every_response_has_the_security_headers(site: Site, path: str) -> None:
    response = site.web.get(path)
    for name, value in HEADERS.items():
        assert response.headers[name] == value or (name == "cache-control" and path in {"/", "/docs"})
    assert "server" not in response.headers


MAX_PAGE, MAX_REFERENCE = 50_000, 90_000
"""The characters of a page with its styles. The reference of the API describes every operation, and no customer opens it."""


@pytest.mark.parametrize("path", ["/", "/refund", "/refund/sent", "/docs", "/problems/not_found", "/nope"])
def test_a_page_is_small_and_loads_nothing_from_other_hosts(site: Site, path: str) -> None:
    page = site.web.get(path).text
    assert len(page) + len(site.web.get("/static/moneyback.css").text) < (
        MAX_REFERENCE if path == "/docs" else MAX_PAGE
    )
    assert "<script" not in page
    assert "style=" not in page
    assert not re.findall(r'(?:src|href|action)="(?!/|#|mailto:)', page)
    assert "default-src 'none'" in site.web.get(path).headers["content-security-policy"]


def test_a_page_over_tls_requires_tls_for_later_requests(settings: Settings) -> None:
    with serve(app(settings.model_copy(update={"public_url": "https://refunds.example"}))) as web:
        assert web.get("/").headers["strict-transport-security"] == "max-age=31536000"


def test_the_help_centre_links_to_the_form(site: Site) -> None:
    page = site.web.get("/").text
    assert 'href="/refund"' in page
    for topic in ("Payment", "Delivery", "Contact us"):
        assert topic in page


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_help_centre_refuses_post_put_and_delete(site: Site, method: str) -> None:
    response = site.web.request(method, "/")
    assert response.status_code == 405
    assert "doesn’t support this action" in response.text


# Pages of a case


@pytest.mark.parametrize("purpose", [Purpose.CONFIRM, Purpose.STATUS])
def test_a_page_of_a_case_reports_that_the_database_is_unavailable(
    site: Site, web_without_database: httpx.Client, purpose: Purpose
) -> None:
    response = web_without_database.get(site.link_path(purpose, uuid4()))
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert "Nothing was sent" in response.text
    assert "127.0.0.1" not in response.text


# The mailbox of the demo


@pytest.fixture
def demo(settings: Settings) -> Iterator[tuple[httpx.Client, Path]]:
    """Yield a client of a web server with a mailbox page, and the folder of the sent e-mails."""
    assert settings.sent_mail_dir
    with serve(app(settings.model_copy(update={"mailbox_page": True}))) as web:
        yield web, settings.sent_mail_dir


@pytest.mark.parametrize("changes", [{"mailbox_page": False}, {"mailbox_page": True, "sent_mail_dir": None}])
def test_the_mailbox_page_needs_its_setting_and_a_mail_folder(settings: Settings, changes: dict[str, Any]) -> None:
    with serve(app(settings.model_copy(update=changes))) as web:
        assert web.get("/mailbox").status_code == 404


def test_an_empty_mailbox_shows_a_message(demo: tuple[httpx.Client, Path]) -> None:
    assert "No emails yet." in demo[0].get("/mailbox").text


def test_an_email_is_shown_as_text_and_only_links_to_moneyback_are_clickable(demo: tuple[httpx.Client, Path]) -> None:
    web, folder = demo
    body = "Open http://testserver/confirm/abc.\n<b>Not</b> https://evil.example/x http://testserver.evil.example/y\n"
    store_email(folder, "Start your refund <now>", body)
    page = web.get("/mailbox").text
    assert "Start your refund &lt;now&gt;" in page
    assert "ada@example.com" in page
    email_page = web.get(re.findall(r'href="(/mailbox/[^"]+)"', page)[0]).text
    assert '<a href="http://testserver/confirm/abc">http://testserver/confirm/abc</a>.' in email_page
    assert "&lt;b&gt;Not&lt;/b&gt; https://evil.example/x http://testserver.evil.example/y" in email_page


@pytest.mark.parametrize("name", ["nothing", "%2e%2e%2fsecret", "new", "%00"])
def test_an_email_that_is_not_in_the_list_is_not_opened(demo: tuple[httpx.Client, Path], name: str) -> None:
    store_email(demo[1], "Subject", "text")
    (demo[1].parent / "secret").write_text("hidden")
    assert demo[0].get(f"/mailbox/{name}").status_code == 404


def test_a_warm_up_loads_every_template_in_every_language() -> None:
    templates = Templates()
    templates.warm()
    for language in LANGUAGES:
        environment = templates.environment(translator_for(language))
        assert environment.cache is not None
        assert len(environment.cache) == len(environment.list_templates())


def test_a_warm_up_opens_database_connections(settings: Settings) -> None:
    records = Records.of(settings, pool=3)
    records.warm_up(3)
    assert isinstance(records.engine.pool, QueuePool)
    assert records.engine.pool.checkedin() == 3
    records.engine.dispose()


def test_a_warm_up_without_a_database_raises_no_error(settings: Settings) -> None:
    unreachable = SecretStr("postgresql://moneyback@/moneyback?host=/nowhere")
    Records.of(settings.model_copy(update={"database_url": unreachable}), pool=3).warm_up(3)
