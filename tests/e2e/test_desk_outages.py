"""An agent decides while the provider, the broker or the database is down. Nothing typed is lost, and nothing is paid twice.

These tests stop the servers, so they have their own servers.
"""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from console.servers import Servers
from domain.desk_roles import Role
from domain.purchases import Purchase
from domain.states import State
from tests.e2e import _desk_pages as pages
from tests.e2e._desk_pages import APPROVE, DECLINE
from tests.e2e._desk_site import DeskSite
from tests.services import running_servers

Visit = Callable[..., Page]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running_servers() as servers:
        yield servers


@pytest.fixture
def start_case(visit_desk: Visit, desk_site: DeskSite) -> Callable[..., tuple[Page, Purchase, UUID]]:
    """Return a function that opens a case in the browser of an agent. It returns the page, the purchase and the case."""

    def start(behaviour: str = "ok") -> tuple[Page, Purchase, UUID]:
        seller = desk_site.add_seller()
        purchase = desk_site.add_purchase(seller, behaviour)
        case = desk_site.request_refund(purchase)
        page = visit_desk(desk_site.add_user(Role.AGENT, seller))
        pages.take_next_task(page)
        return page, purchase, case

    return start


@pytest.mark.parametrize("behaviour", ["hang", "lost500", "busy"])
def test_a_refund_that_the_provider_does_not_answer_is_sent_once(
    start_case: Callable[..., tuple[Page, Purchase, UUID]], desk_site: DeskSite, behaviour: str
) -> None:
    """The provider refunds and does not answer, fails before it refunds, or refuses the first calls."""
    page, purchase, case = start_case(behaviour)
    assert pages.decide(page, APPROVE, reason="Goodwill.") == 303
    desk_site.wait_for(case, State.REFUNDED)
    assert desk_site.decisions(case) == [("approve", "applied")]
    desk_site.assert_refunded(purchase, 4900)


def test_a_decision_without_the_broker_is_stored_and_performed_when_the_broker_is_back(
    start_case: Callable[..., tuple[Page, Purchase, UUID]], desk_site: DeskSite, servers: Servers
) -> None:
    page, purchase, case = start_case()
    servers.valkey.stop()
    try:
        assert pages.decide(page, APPROVE, reason="Goodwill.") == 303
        assert desk_site.state(case) is State.APPROVED
        assert desk_site.decisions(case) == [("approve", "applied")]
        desk_site.assert_refunded(purchase)
    finally:
        servers.valkey.start()
    desk_site.wait_for(case, State.REFUNDED)
    desk_site.assert_refunded(purchase, 4900)


@pytest.mark.parametrize("way", ["send again", "load again", "go back"])
def test_a_decision_without_the_database_is_made_once_when_the_database_is_back(
    start_case: Callable[..., tuple[Page, Purchase, UUID]],
    desk_site: DeskSite,
    servers: Servers,
    expected_faults: list[str],
    way: str,
) -> None:
    """Afterwards, the agent sends what the page has kept, loads the page again, or goes back to the form."""
    page, purchase, case = start_case()
    pages.fill_in(page, DECLINE, message="The policy allows 30 days.")
    expect(page.locator("[data-draft-status]")).to_have_text("Your draft is saved.")  # so that no save fails later
    servers.postgres.stop()
    try:
        assert pages.press(page, "Decide") == 503
        expect(page.get_by_role("main")).to_contain_text("again in a minute")
        expect(page.get_by_role("main")).to_contain_text(f"Your decision: {DECLINE}")
        expected_faults.append(f"response 503: {page.url}")
    finally:
        servers.postgres.start()
    if way == "send again":
        expect(pages.field(page, pages.MESSAGE)).to_have_value("The policy allows 30 days.")
        assert pages.press(page, "Decide") == 303
    elif way == "load again":
        page.reload()
    else:
        page.go_back()
        expect(pages.field(page, pages.MESSAGE)).to_have_value("The policy allows 30 days.")
        assert pages.press(page, "Decide") == 303
    expect(page).to_have_url(f"{desk_site.url}/cases/{case}")
    assert desk_site.state(case) is State.DECLINED
    assert desk_site.decisions(case) == [("decline", "applied")]
    desk_site.assert_refunded(purchase)
