"""Tests of the help centre: its articles, its search, its languages, and a seller's storefront."""

import re
from pathlib import Path

import httpx
import pytest

from config.i18n import LANGUAGES
from config.settings import Settings
from producers.web.app import app
from producers.web.pages.help_articles import HERE, TOPICS, ArticleStore
from producers.web.pages.help_search import find, words
from records.storefronts import Storefront
from tests.integration._web_fixtures import Site, serve


def page_text(page: httpx.Response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.text))


def set_storefront(site: Site, **changes: str | None) -> None:
    values: dict[str, str | None] = {"colour": "#8a2be2", "website": None, "technical_support": None}
    with site.records.work() as work:
        work.storefronts.upsert(Storefront(seller="aurora", name="", support_email="", **{**values, **changes}))


def with_articles(settings: Settings, folder: Path, **files: str) -> Settings:
    """Write each of `files`, such as `payment__refund="# Title"`, as an English article. Return settings that use `folder`."""
    for name, text in files.items():
        topic, _, article = name.partition("__")
        file = folder / "en" / topic / f"{article.replace('_', '-')}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return settings.model_copy(update={"help_dir": folder})


# The first page


@pytest.mark.parametrize("path", ["/", "/s/aurora"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_page_shows_refund_then_lookup_then_search_then_topics(site: Site, path: str, language: str) -> None:
    page = site.web.get(path, params={"lang": language}).text
    content = page[page.index("<h1") :]
    positions = [content.index(part) for part in ("/refund?", "/lookup?", 'type="search"', 'class="topics"')]
    assert positions == sorted(positions)


def test_every_link_of_the_help_centre_works(site: Site) -> None:
    set_storefront(site, technical_support="https://aurora.example/help", website="https://aurora.example")
    seen: set[str] = set()
    waiting = ["/", "/s/aurora", *(f"/?lang={language}" for language in LANGUAGES)]
    while waiting:
        address = waiting.pop()
        page = site.web.get(address)
        assert page.status_code == 200, address
        links = {link.replace("&amp;", "&") for link in re.findall(r'href="(/[^"]*)"', page.text)}
        for link in links:
            path, _, part = link.partition("#")
            if part:
                assert f'id="{part}"' in site.web.get(path).text, link
        waiting += {link.partition("#")[0] for link in links if link.startswith("/help/")} - seen
        seen |= {link.partition("#")[0] for link in links}
    for address in seen:
        assert site.web.get(address).status_code == 200, address


# Articles


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_question_is_answered_in_every_language(language: str) -> None:
    topics = ArticleStore().topics(language)
    assert tuple(topics) == TOPICS
    assert [article.name for articles in topics.values() for article in articles if article.language != language] == []


def test_a_translation_has_the_name_of_its_original_and_the_same_links() -> None:
    for file in HERE.glob("*/*/*.md"):
        english = HERE / "en" / file.parent.name / file.name
        assert english.exists(), file
        links = [sorted(re.findall(r"\]\((.*?)\)", text.read_text(encoding="utf-8"))) for text in (file, english)]
        assert links[0] == links[1], file


def test_an_untranslated_article_is_marked_as_english(settings: Settings, tmp_path: Path) -> None:
    with serve(app(with_articles(settings, tmp_path / "help", payment__99_new="# Only in English?\n\nYes."))) as web:
        page = web.get("/help/payment", params={"lang": "ja"})
        home = web.get("/", params={"lang": "ja"})
    assert re.search(r'<section[^>]* lang="en">\s*<h2 id="99-new|<section[^>]* lang="en">\s*<h2 id="new"', page.text)
    assert re.search(r'<li lang="en"><a [^>]*>Only in English\?', home.text)
    assert page.headers["content-language"] == "ja"


def test_operator_articles_replace_or_remove_built_in_articles(settings: Settings, tmp_path: Path) -> None:
    own_settings = with_articles(
        settings,
        tmp_path / "help",
        payment__10_unknown_charge="# Who is Aurora?\n\nWe are. [Ask](/lookup#main) or [write](https://aurora.example).",
        payment__20_renewal="",
        club__10_card="# Where is my card?\n\n<script>alert(1)</script> In the [post](javascript:alert(1)).",
    )
    with serve(app(own_settings)) as web:
        payment, club, home = (
            web.get(path, params={"lang": "en"}).text for path in ("/help/payment", "/help/club", "/")
        )
    assert "Who is Aurora?" in payment
    assert 'href="/lookup?lang=en#main"' in payment
    assert 'href="https://aurora.example"' in payment
    assert "My subscription was renewed" not in payment
    assert "<script>" not in club
    assert 'href="javascript' not in club
    assert ">Club</a>" in home


def test_links_in_an_article_keep_the_language_and_the_seller(site: Site) -> None:
    page = site.web.get("/help/delivery", params={"lang": "de", "seller": "aurora"}).text
    assert 'href="/lookup?lang=de&amp;seller=aurora"' in page
    assert 'href="/lookup?ask=references&amp;lang=de&amp;seller=aurora"' in page
    assert 'href="/s/aurora/colours.css"' not in page  # the seller has set no colours


@pytest.mark.parametrize(
    "path", ["/help/nothing", "/help/", "/s/nobody", "/s/nobody/colours.css", "/s/a%00b", "/help/../en"]
)
def test_an_unknown_help_page_or_storefront_is_not_found(site: Site, path: str) -> None:
    assert site.web.get(path).status_code == 404


# The search


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("paypal", "how-long"),
        ("PAYPAL how LONG", "how-long"),
        ("ｐａｙｐａｌ  refund", "how-long"),
        ("réfèrence numbér find", "lost-reference"),
        ("charged twice", "charged-twice"),
        ("another card", "other-card"),
    ],
)
def test_the_search_ignores_case_and_accents(query: str, first: str) -> None:
    hits = find(query, ArticleStore().topics("en"))
    assert first in [hit.article.name for hit in hits[:2]]


def test_articles_with_the_query_in_their_question_come_first() -> None:
    hits = find("download", ArticleStore().topics("en"))
    in_question = ["download" in hit.article.question.lower() for hit in hits]
    assert True in in_question
    assert False in in_question
    assert in_question == sorted(in_question, reverse=True)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("how can I download it", "download-expired"),
        ("when will I see my money on my card", "how-long"),
        ("refund zebra", "how-long"),
    ],
)
def test_without_a_complete_match_the_best_articles_are_found(query: str, name: str) -> None:
    names = [hit.article.name for hit in find(query, ArticleStore().topics("en"))]
    assert name in names
    assert len(names) < sum(map(len, ArticleStore().topics("en").values()))


@pytest.mark.parametrize("query", ["  ", "zebra", "zebra quagga", "refund zebra quagga okapi"])
def test_a_blank_query_or_mostly_unknown_words_find_nothing(query: str) -> None:
    assert find(query, ArticleStore().topics("en")) == []


@pytest.mark.parametrize(
    ("language", "query", "name"),
    [
        ("de", "lizenzschluessel", None),
        ("de", "LIZENZSCHLÜSSEL", "where-is-my-key"),
        ("de", "lizenzschlussel", "where-is-my-key"),
        ("fr", "cle de licence", "where-is-my-key"),
        ("es", "numero de referencia", "lost-reference"),
        ("ja", "返金はいつ届きますか", "how-long"),
        ("ja", "ライセンスキー", "where-is-my-key"),
    ],
)
def test_the_search_works_in_every_language(language: str, query: str, name: str | None) -> None:
    names = [hit.article.name for hit in find(query, ArticleStore().topics(language))]
    assert (name in names) if name else (names == [])


def test_japanese_is_split_into_words_and_keeps_voiced_sounds() -> None:
    assert words("返金はいつ") == ["返金"]
    assert words("が") != words("か")


def test_the_results_show_their_number_and_mark_the_words_of_the_query(site: Site) -> None:
    page = site.web.get("/", params={"q": "paypal card"})
    number = len(find("paypal card", ArticleStore().topics("en")))
    assert f"{number} results" in page_text(page)
    assert "<mark>PayPal</mark>" in page.text
    assert 'value="paypal card"' in page.text
    assert ">1 result<" in site.web.get("/", params={"q": "charged twice"}).text
    assert page.headers["cache-control"] == "no-store"


def test_without_a_result_the_page_offers_support(site: Site) -> None:
    page = site.web.get("/s/aurora", params={"q": "zebra"})
    assert ">No results<" in page.text
    assert page.text.index("No results") < page.text.index("mailto:help@aurora.example")


@pytest.mark.parametrize(
    "query", ["<script>", '"><b>x', "\x00", b"\xff\xfe", "a" * 5_000, "%(x)s {y} {{ z }}", "(", "\\"]
)
def test_a_query_is_shown_as_text(site: Site, query: str | bytes) -> None:
    page = site.web.get("/", params={"q": query})
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "<b>x" not in page.text


def test_the_language_link_keeps_the_query(site: Site) -> None:
    page = site.web.get("/", params={"q": "paypal", "lang": "de"}).text
    assert 'href="/?q=paypal&amp;lang=ja"' in page
    assert '<input type="hidden" name="lang" value="de">' in page


# Storefronts


def test_a_storefront_has_the_sellers_name_colours_and_support(site: Site) -> None:
    set_storefront(site, technical_support="https://aurora.example/help", website="https://aurora.example")
    page = site.web.get("/s/aurora")
    assert "<title>Help with payment, delivery and refunds – Aurora Software</title>" in page.text
    assert '<link rel="stylesheet" href="/s/aurora/colours.css">' in page.text
    assert 'href="mailto:help@aurora.example"' in page.text
    assert 'href="https://aurora.example/help"' in page.text
    assert "Moneyback</a>" not in page.text
    sheet = site.web.get("/s/aurora/colours.css")
    assert sheet.headers["content-type"].startswith("text/css")
    assert "--accent: #8a2be2;" in sheet.text


def test_a_seller_without_settings_has_a_storefront(site: Site) -> None:
    page = site.web.get("/s/babbage")
    assert page.status_code == 200
    assert "colours.css" not in page.text
    assert site.web.get("/s/babbage/colours.css").text == ""


def test_links_of_a_storefront_keep_the_seller(site: Site) -> None:
    set_storefront(site)
    page = site.web.get("/s/aurora").text
    for path in ("/refund", "/lookup", "/help/payment"):
        assert f'href="{path}?seller=aurora' in page
    for path in ("/lookup", "/lookup/sent", "/help/payment", "/refund", "/withdraw"):
        seller_page = site.web.get(path, params={"seller": "aurora"}).text
        assert "/s/aurora/colours.css" in seller_page
        assert 'href="/s/aurora"' in seller_page
        without_exit_link = re.sub(r"<a [^>]*>I bought from another seller</a>", "", seller_page)
        assert not re.search(r'href="/(refund|lookup|withdraw|help/\w+)?"', without_exit_link), path


@pytest.mark.parametrize("seller", ["nobody", "a\x00", "x" * 500, '"><b>'])
def test_an_unknown_seller_in_a_help_link_is_ignored(site: Site, seller: str) -> None:
    page = site.web.get("/lookup", params={"seller": seller})
    assert page.status_code == 200
    assert "colours.css" not in page.text
    assert "<b>" not in page.text
