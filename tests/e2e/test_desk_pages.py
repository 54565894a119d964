"""Checks every page of the desk in each situation: accessibility, size of touch targets, and width.

A page without a situation in ``PAGE_STATES`` fails a test here, so each page is checked, and has a screenshot.
"""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, ViewportSize

from producers import desk
from producers.desk.app import app
from tests.e2e._browser import accessibility_faults
from tests.e2e._desk_page_states import PAGE_STATES
from tests.e2e._desk_site import DeskSite
from tests.e2e.test_pages import PHONE, mark_slow
from tests.security.test_headers import routes
from tests.services import offline_settings

SIZES: tuple[ViewportSize, ...] = ({"width": 1200, "height": 900}, {"width": 400, "height": 740}, PHONE)
WITHOUT_PAGE = {
    "/cases",
    "/emails",
    "/tasks/counts",
    "/batches/{batch_id}/report.csv",
    "/reports/{report}.csv",
    "/reports/{report}.json",
}
"""Paths that show no page of their own: they lead to another page, or answer with numbers or a table."""


@pytest.mark.parametrize("name", mark_slow(PAGE_STATES, but={"sign-in", "tasks", "case", "case-wrong"}))
def test_every_page_of_the_desk_is_accessible(
    visit_desk: Callable[..., Page], desk_site: DeskSite, expected_faults: list[str], name: str
) -> None:
    page, state = visit_desk(viewport=SIZES[0]), PAGE_STATES[name]
    state.steps(page, desk_site)
    pattern = re.sub(r"{\w+}", "[^/]+", state.path)
    assert re.fullmatch(pattern, urlsplit(page.url).path), "The steps do not lead to the path of the situation."
    assert accessibility_faults(page, SIZES) == {}
    if state.template == "lost_form.html":
        expected_faults.append(f"response 503: {page.url}")


def test_every_page_of_the_desk_has_a_situation() -> None:
    """A page is a path that a browser can open, or a template that extends the template of all pages."""
    paths = {path for method, path in routes(app(offline_settings())) if method == "GET"}
    assert paths - WITHOUT_PAGE - {state.path for state in PAGE_STATES.values()} == set()
    folder = Path(desk.__file__).with_name("templates")
    templates = {file.name for file in folder.glob("*.html") if '{% extends "desk_base.html" %}' in file.read_text()}
    assert templates - {state.template for state in PAGE_STATES.values()} == set()
