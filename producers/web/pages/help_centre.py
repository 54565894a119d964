"""The help centre: answers, and the ways to a refund, to a purchase and to people."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import HTTPConnection
from starlette.responses import Response

from producers.web.dependencies import ThePaper
from producers.web.pages.help_articles import ArticleStore
from producers.web.pages.help_search import LONGEST, find
from producers.web.pages.storefront import OptionalStorefront, RequiredStorefront
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import SEEN, Page
from records.storefronts import Storefront

HEADINGS = {"payment": "Payment", "delivery": "Delivery", "refunds": "Refunds"}
"""What our topics are called; one of an operator's own is called as its folder."""

_KEPT = {"cache-control": "public, max-age=300"}

helppages = APIRouter(include_in_schema=False)


async def _shelf(connection: HTTPConnection) -> ArticleStore:
    shelf = connection.app.state.shelf
    assert isinstance(shelf, ArticleStore)
    return shelf


TheShelf = Annotated[ArticleStore, Depends(_shelf)]


@helppages.api_route("/", methods=SEEN)
async def home(paper: ThePaper, shelf: TheShelf, q: str = "") -> Response:
    """Everybody's help centre."""
    return _centre(paper, shelf, q, None)


@helppages.api_route("/s/{seller}", methods=SEEN)
async def shop(front: RequiredStorefront, paper: ThePaper, shelf: TheShelf, q: str = "") -> Response:
    """A seller's help centre, in its name and colours."""
    return _centre(paper, shelf, q, front)


@helppages.api_route("/help/{topic}", methods=SEEN)
async def answers(topic: str, front: OptionalStorefront, paper: ThePaper, shelf: TheShelf) -> Response:
    """All answers about one topic."""
    articles = shelf.topics(paper.translator.language).get(topic)
    if not articles:
        raise ProblemError(ProblemCode.NOT_FOUND)
    ways = partial(paper.to, seller=front.seller if front else "")
    return paper.render("help.html", headers=_KEPT, heading=heading(topic), articles=articles, ways=ways, front=front)


def heading(topic: str) -> str:
    """What a topic is called, in English."""
    return HEADINGS.get(topic) or topic.replace("-", " ").capitalize()


def _centre(paper: Page, shelf: ArticleStore, q: str, front: Storefront | None) -> Response:
    topics = shelf.topics(paper.translator.language)
    asked = q.strip()[:LONGEST]
    return paper.render(
        "home.html",
        headers={} if asked else _KEPT,
        topics={topic: (heading(topic), articles) for topic, articles in topics.items()},
        asked=asked,
        hits=find(asked, topics),
        front=front,
    )
