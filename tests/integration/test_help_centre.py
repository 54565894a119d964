"""The help centre: answers in the reader's language that can be searched, everybody's or a seller's."""

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


def plain(page: httpx.Response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.text))


def dress(site: Site, **changes: str | None) -> None:
    values: dict[str, str | None] = {"colour": "#8a2be2", "website": None, "technical_support": None}
    with site.records.work() as work:
        work.storefronts.upsert(Storefront(seller="aurora", name="", support_email="", **{**values, **changes}))


def settled(settings: Settings, folder: Path, **files: str) -> Settings:
    """With articles of the operator's own: topic__article="…", in English."""
    for name, text in files.items():
        topic, _, article = name.partition("__")
        file = folder / "en" / topic / f"{article.replace('_', '-')}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return settings.model_copy(update={"help_dir": folder})


# Three things at once


@pytest.mark.parametrize("path", ["/", "/s/aurora"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_begins_with_a_refund_a_purchase_and_the_search(site: Site, path: str, language: str) -> None:
    page = site.web.get(path, params={"lang": language}).text
    begins = page[page.index("<h1") :]
    places = [begins.index(part) for part in ("/refund?", "/lookup?", 'type="search"', 'class="topics"')]
    assert places == sorted(places)


def test_every_link_of_the_help_centre_leads_somewhere(site: Site) -> None:
    dress(site, technical_support="https://aurora.example/help", website="https://aurora.example")
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
    assert [article.name for some in topics.values() for article in some if article.language != language] == []


def test_a_translation_has_the_name_of_its_original_and_the_same_links() -> None:
    for file in HERE.glob("*/*/*.md"):
        english = HERE / "en" / file.parent.name / file.name
        assert english.exists(), file
        links = [sorted(re.findall(r"\]\((.*?)\)", text.read_text(encoding="utf-8"))) for text in (file, english)]
        assert links[0] == links[1], file


def test_an_answer_that_is_not_translated_is_shown_in_english_and_says_so(settings: Settings, tmp_path: Path) -> None:
    with serve(app(settled(settings, tmp_path / "help", payment__99_new="# Only in English?\n\nYes."))) as web:
        page = web.get("/help/payment", params={"lang": "ja"})
        home = web.get("/", params={"lang": "ja"})
    assert re.search(r'<section[^>]* lang="en">\s*<h2 id="99-new|<section[^>]* lang="en">\s*<h2 id="new"', page.text)
    assert re.search(r'<li lang="en"><a [^>]*>Only in English\?', home.text)
    assert page.headers["content-language"] == "ja"


def test_an_operators_own_articles_come_first_and_an_empty_one_takes_ours_away(
    settings: Settings, tmp_path: Path
) -> None:
    ours = settled(
        settings,
        tmp_path / "help",
        payment__10_unknown_charge="# Who is Aurora?\n\nWe are. [Ask](/lookup#main) or [write](https://aurora.example).",
        payment__20_renewal="",
        club__10_card="# Where is my card?\n\n<script>alert(1)</script> In the [post](javascript:alert(1)).",
    )
    with serve(app(ours)) as web:
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


def test_links_in_an_answer_keep_the_language_and_the_seller(site: Site) -> None:
    page = site.web.get("/help/delivery", params={"lang": "de", "seller": "aurora"}).text
    assert 'href="/lookup?lang=de&amp;seller=aurora"' in page
    assert 'href="/lookup?ask=references&amp;lang=de&amp;seller=aurora"' in page
    assert 'href="/s/aurora/colours.css"' not in page  # it has none of its own


@pytest.mark.parametrize(
    "path", ["/help/nothing", "/help/", "/s/nobody", "/s/nobody/colours.css", "/s/a%00b", "/help/../en"]
)
def test_what_is_not_there_is_not_there(site: Site, path: str) -> None:
    assert site.web.get(path).status_code == 404


# The search


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("paypal", "how-long"),
        ("PAYPAL how LONG", "how-long"),
        ("ｐａｙｐａｌ  refund", "how-long"),
        ("réfèrence numbér find", "lost-reference"),
        ("charged twice", "charged-twice"),
        ("another card", "other-card"),
    ],
)
def test_all_words_are_found_whatever_their_case_and_accents(asked: str, first: str) -> None:
    hits = find(asked, ArticleStore().topics("en"))
    assert first in [hit.article.name for hit in hits[:2]]


def test_what_stands_in_the_question_comes_first() -> None:
    hits = find("download", ArticleStore().topics("en"))
    told = ["download" in hit.article.question.lower() for hit in hits]
    assert True in told
    assert False in told
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("how can I download it", "download-expired"),
        ("when will I see my money on my card", "how-long"),
        ("refund zebra", "how-long"),
    ],
)
def test_a_question_of_which_no_article_holds_every_word_finds_those_that_hold_the_most(asked: str, name: str) -> None:
    found = [hit.article.name for hit in find(asked, ArticleStore().topics("en"))]
    assert name in found
    assert len(found) < sum(map(len, ArticleStore().topics("en").values()))


@pytest.mark.parametrize("asked", ["  ", "zebra", "zebra quagga", "refund zebra quagga okapi"])
def test_where_most_words_are_nowhere_nothing_is_found(asked: str) -> None:
    assert find(asked, ArticleStore().topics("en")) == []


@pytest.mark.parametrize(
    ("language", "asked", "name"),
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
def test_every_language_is_searched_in_its_own_way(language: str, asked: str, name: str | None) -> None:
    found = [hit.article.name for hit in find(asked, ArticleStore().topics(language))]
    assert (name in found) if name else (found == [])


def test_a_japanese_sentence_is_taken_apart_and_a_voiced_sound_is_not_its_plain_one() -> None:
    assert words("返金はいつ") == ["返金"]
    assert words("が") != words("か")


def test_the_page_says_how_many_were_found_and_marks_the_words(site: Site) -> None:
    page = site.web.get("/", params={"q": "paypal card"})
    number = len(find("paypal card", ArticleStore().topics("en")))
    assert f"{number} results" in plain(page)
    assert "<mark>PayPal</mark>" in page.text
    assert 'value="paypal card"' in page.text
    assert ">1 result<" in site.web.get("/", params={"q": "charged twice"}).text
    assert page.headers["cache-control"] == "no-store"


def test_where_nothing_is_found_a_person_is_offered(site: Site) -> None:
    page = site.web.get("/s/aurora", params={"q": "zebra"})
    assert ">No results<" in page.text
    assert page.text.index("No results") < page.text.index("mailto:help@aurora.example")


@pytest.mark.parametrize(
    "asked", ["<script>", '"><b>x', "\x00", b"\xff\xfe", "a" * 5_000, "%(x)s {y} {{ z }}", "(", "\\"]
)
def test_whatever_is_asked_for_is_text(site: Site, asked: str | bytes) -> None:
    page = site.web.get("/", params={"q": asked})
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "<b>x" not in page.text


def test_another_language_keeps_the_search(site: Site) -> None:
    page = site.web.get("/", params={"q": "paypal", "lang": "de"}).text
    assert 'href="/?q=paypal&amp;lang=ja"' in page
    assert '<input type="hidden" name="lang" value="de">' in page


# A seller's own


def test_a_shopfront_has_the_sellers_name_colours_and_support(site: Site) -> None:
    dress(site, technical_support="https://aurora.example/help", website="https://aurora.example")
    page = site.web.get("/s/aurora")
    assert "<title>Help with payment, delivery and refunds – Aurora Software</title>" in page.text
    assert '<link rel="stylesheet" href="/s/aurora/colours.css">' in page.text
    assert 'href="mailto:help@aurora.example"' in page.text
    assert 'href="https://aurora.example/help"' in page.text
    assert "Moneyback</a>" not in page.text
    sheet = site.web.get("/s/aurora/colours.css")
    assert sheet.headers["content-type"].startswith("text/css")
    assert "--accent: #8a2be2;" in sheet.text


def test_a_seller_who_set_up_nothing_has_a_shopfront_all_the_same(site: Site) -> None:
    page = site.web.get("/s/babbage")
    assert page.status_code == 200
    assert "colours.css" not in page.text
    assert site.web.get("/s/babbage/colours.css").text == ""


def test_a_shopfronts_links_go_on_with_the_seller(site: Site) -> None:
    dress(site)
    page = site.web.get("/s/aurora").text
    for path in ("/refund", "/lookup", "/help/payment"):
        assert f'href="{path}?seller=aurora' in page
    for path in ("/lookup", "/lookup/sent", "/help/payment", "/refund", "/withdraw"):
        shown = site.web.get(path, params={"seller": "aurora"}).text
        assert "/s/aurora/colours.css" in shown
        assert 'href="/s/aurora"' in shown
        others = re.sub(r"<a [^>]*>I bought from another seller</a>", "", shown)
        assert not re.search(r'href="/(refund|lookup|withdraw|help/\w+)?"', others), path


@pytest.mark.parametrize("seller", ["nobody", "a\x00", "x" * 500, '"><b>'])
def test_a_link_from_a_seller_that_is_none_is_an_ordinary_one(site: Site, seller: str) -> None:
    page = site.web.get("/lookup", params={"seller": seller})
    assert page.status_code == 200
    assert "colours.css" not in page.text
    assert "<b>" not in page.text
