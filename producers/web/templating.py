"""Pages: templates in the reader's language, which escape whatever is put into them and refuse to print what was forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlencode

from jinja2 import BytecodeCache, ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse

from config.i18n import LANGUAGES, Translator, preferred_language, translator_for

HERE = Path(__file__).parent
SEEN = ["GET", "HEAD"]
"""How a page is looked at."""
LANGUAGE = "lang"
"""The parameter by which a reader chooses a language; links go on with it, so no cookie is needed."""
KEPT = ("seller", "q", "ask", "reference", "reason")
"""What a page was asked for that its reader keeps with another language. Nobody's address is among it."""


class _Compiled(BytecodeCache):
    """Templates that one language has compiled, for the others: they differ in what they say alone."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


class Templates:
    """The web's templates, and those of folders that come first; each language has its own print of them."""

    def __init__(self, *folders: Path) -> None:
        self._folders = (*folders, HERE / "templates")
        self._presses: dict[str, Environment] = {}
        self._compiled = _Compiled()

    def warm(self) -> None:
        """Makes what the first reader of each language would have to wait for."""
        for language in LANGUAGES:
            press = self.environment(translator_for(language))
            for template in press.list_templates():
                press.get_template(template)

    def environment(self, spoken: Translator) -> Environment:
        """The templates in this language."""
        if spoken.language not in self._presses:
            self._presses[spoken.language] = self._press(spoken)
        return self._presses[spoken.language]

    def _press(self, spoken: Translator) -> Environment:
        templates = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in self._folders]),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,  # a process that is to know a changed file is started again
            bytecode_cache=self._compiled,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        templates.policies["ext.i18n.trimmed"] = True
        templates.install_gettext_translations(spoken.catalogue, newstyle=True)  # type: ignore[attr-defined]
        templates.globals |= {"language": spoken.language, "languages": LANGUAGES, "say": spoken.gettext}
        templates.filters |= {"instant": spoken.instant, "day": spoken.day, "money": spoken.money}
        return templates


@dataclass(frozen=True, slots=True)
class Page:
    """The paper for one answer: the reader's language, and where they are."""

    templates: Templates
    translator: Translator
    chosen: str | None
    """The language that the reader chose themselves."""
    here: str
    asked: Mapping[str, str]
    """The parameters of KEPT that this page was asked with."""

    def speaking(self, locale: str) -> "Page":
        """In the language of a case, unless the reader chose another."""
        return self if self.chosen else replace(self, translator=translator_for(locale))

    def to(self, address: str, **values: str) -> str:
        """An address of ours, where the reader's choice of a language goes on."""
        asked = {name: value for name, value in {LANGUAGE: self.chosen, **values}.items() if value}
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}" if asked else address

    def in_language(self, language: str) -> str:
        """This page in another language."""
        return f"{self.here}?{urlencode({**self.asked, LANGUAGE: language})}"

    def render(
        self, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **words: object
    ) -> HTMLResponse:
        """One page."""
        ways = {"to": self.to, "here": self.here, "in_language": self.in_language, "chosen": self.chosen}
        printed = self.templates.environment(self.translator).get_template(template).render(ways | words)
        says = {"content-language": self.translator.language, "vary": "accept-language"}
        return HTMLResponse(printed, status, headers=says | dict(headers or {}))


def page_for(connection: HTTPConnection) -> Page:
    """The paper of the application that was asked, for whoever asks."""
    paper = connection.app.state.paper
    assert isinstance(paper, Templates)
    chosen = connection.query_params.get(LANGUAGE)
    chosen = chosen if chosen in LANGUAGES else None
    spoken = translator_for(chosen or preferred_language(connection.headers.get("accept-language", "")))
    asked = {name: connection.query_params[name] for name in KEPT if name in connection.query_params}
    here = "/" + quote(
        connection.url.path.lstrip("/")
    )  # "//elsewhere.example" would be somebody else's address in a link
    return Page(paper, spoken, chosen, here, asked)
