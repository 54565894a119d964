"""FastAPI dependencies: functions that give an endpoint the shared objects of the application."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from config.settings import Settings
from config.signed_links import Links
from producers.group_commit import GroupCommit
from producers.web.templating import Page, page_for
from records import Records


async def get_records(connection: HTTPConnection) -> Records:
    """Return the object that opens transactions on the database."""
    records = connection.app.state.records
    assert isinstance(records, Records)
    return records


async def get_group_commit(connection: HTTPConnection) -> GroupCommit:
    """Return the object that stores the refund requests of several threads in one commit."""
    group_commit = connection.app.state.group_commit
    assert isinstance(group_commit, GroupCommit)
    return group_commit


async def get_links(connection: HTTPConnection) -> Links:
    """Return the object that creates and reads signed links."""
    links = connection.app.state.links
    assert isinstance(links, Links)
    return links


async def get_settings(connection: HTTPConnection) -> Settings:
    """Return the application's settings."""
    settings = connection.app.state.settings
    assert isinstance(settings, Settings)
    return settings


async def get_account_sellers(connection: HTTPConnection) -> Mapping[str, frozenset[str]]:
    """Return the sellers to whom each provider account belongs."""
    account_sellers = connection.app.state.account_sellers
    assert isinstance(account_sellers, Mapping)
    return account_sellers


async def get_page(connection: HTTPConnection) -> Page:
    """Return the object that renders the page for this request, in the visitor's language."""
    return page_for(connection)


RecordsDep = Annotated[Records, Depends(get_records)]
GroupCommitDep = Annotated[GroupCommit, Depends(get_group_commit)]
LinksDep = Annotated[Links, Depends(get_links)]
AccountSellersDep = Annotated[Mapping[str, frozenset[str]], Depends(get_account_sellers)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
PageDep = Annotated[Page, Depends(get_page)]
