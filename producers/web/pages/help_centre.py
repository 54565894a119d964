"""The help centre: articles by topic, a search, and links to the refund form, the lookup and the contacts."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import HTTPConnection
from starlette.responses import Response

from producers.web.dependencies import PageDep
from producers.web.pages.help_articles import ArticleStore
from producers.web.pages.help_search import MAX_QUERY_LENGTH, find
from producers.web.pages.storefront import OptionalStorefrontDep, StorefrontDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, Page
from records.storefronts import Storefront

HEADINGS = {"payment": "Payment", "delivery": "Delivery", "refunds": "Refunds"}
"""The headings of Moneyback's topics. If an operator adds a topic, the name of the topic's folder becomes the heading."""

_CACHE = {"cache-control": "public, max-age=300"}

router = APIRouter(include_in_schema=False)


async def get_articles(connection: HTTPConnection) -> ArticleStore:
    """Return the application's help articles."""
    articles = connection.app.state.articles
    assert isinstance(articles, ArticleStore)
    return articles


ArticlesDep = Annotated[ArticleStore, Depends(get_articles)]


@router.api_route("/", methods=READ_METHODS)
async def show_home(page: PageDep, articles: ArticlesDep, q: str = "") -> Response:
    """Show the help centre for customers of all sellers."""
    return _render_home(page, articles, q, None)


@router.api_route("/s/{seller}", methods=READ_METHODS)
async def show_storefront(storefront: StorefrontDep, page: PageDep, articles: ArticlesDep, q: str = "") -> Response:
    """Show the help centre in a seller's name and colours."""
    return _render_home(page, articles, q, storefront)


@router.api_route("/help/{topic}", methods=READ_METHODS)
async def show_topic(topic: str, storefront: OptionalStorefrontDep, page: PageDep, articles: ArticlesDep) -> Response:
    """Show all articles of a topic."""
    topic_articles = articles.topics(page.translator.language).get(topic)
    if not topic_articles:
        raise ProblemError(ProblemCode.NOT_FOUND)
    return page.render(
        "help.html",
        headers=_CACHE,
        heading=heading(topic),
        articles=topic_articles,
        link_to=partial(page.to, seller=storefront.seller if storefront else ""),
        storefront=storefront,
    )


def heading(topic: str) -> str:
    """Return the heading of a topic in English."""
    return HEADINGS.get(topic) or topic.replace("-", " ").capitalize()


def _render_home(page: Page, articles: ArticleStore, q: str, storefront: Storefront | None) -> Response:
    topics = articles.topics(page.translator.language)
    query = q.strip()[:MAX_QUERY_LENGTH]
    return page.render(
        "home.html",
        headers={} if query else _CACHE,
        topics={topic: (heading(topic), topic_articles) for topic, topic_articles in topics.items()},
        query=query,
        hits=find(query, topics),
        storefront=storefront,
    )
