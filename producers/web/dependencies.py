"""FastAPI dependencies: the application's shared objects, as endpoints receive them."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from config.settings import Settings
from config.signed_links import Links
from producers.group_commit import GroupCommit
from producers.web.templating import Page, page_for
from records import Records


async def _records(connection: HTTPConnection) -> Records:
    records = connection.app.state.records
    assert isinstance(records, Records)
    return records


async def _door(connection: HTTPConnection) -> GroupCommit:
    door = connection.app.state.door
    assert isinstance(door, GroupCommit)
    return door


async def _links(connection: HTTPConnection) -> Links:
    links = connection.app.state.links
    assert isinstance(links, Links)
    return links


async def _settings(connection: HTTPConnection) -> Settings:
    settings = connection.app.state.settings
    assert isinstance(settings, Settings)
    return settings


async def _paper(connection: HTTPConnection) -> Page:
    return page_for(connection)


TheRecords = Annotated[Records, Depends(_records)]
TheDoor = Annotated[GroupCommit, Depends(_door)]
TheLinks = Annotated[Links, Depends(_links)]
TheSettings = Annotated[Settings, Depends(_settings)]
ThePaper = Annotated[Page, Depends(_paper)]
