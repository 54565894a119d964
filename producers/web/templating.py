"""Renders pages from templates, in the reader's language.

Templates escape every value. A template that uses an undefined variable raises an error.
"""

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
READ_METHODS = ["GET", "HEAD"]
"""The HTTP methods with which a browser reads a page. They change nothing."""
LANGUAGE_PARAMETER = "lang"
"""The query parameter for the language that the reader chose. Links on a page keep this parameter, so no cookie is needed."""
KEPT_PARAMETERS = ("seller", "q", "ask", "reference", "reason")
"""The query parameters that a link to the same page in another language keeps. An e-mail address is not kept."""


class _SharedBytecodeCache(BytecodeCache):
    """A cache of compiled templates. All languages share it, because a compiled template contains no translations."""

    def __init__(self) -> None:
        self._bytecode: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Load a template that was compiled before."""
        if bucket.key in self._bytecode:
            bucket.bytecode_from_string(self._bytecode[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Store a compiled template."""
        self._bytecode[bucket.key] = bucket.bytecode_to_string()


class Templates:
    """The templates of the web application. Each language has its own Jinja environment.

    A template in one of the ``folders`` replaces our template with the same name.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = (*folders, HERE / "templates")
        self._environments: dict[str, Environment] = {}
        self._bytecode_cache = _SharedBytecodeCache()

    def warm(self) -> None:
        """Load all templates in all languages, so that the first reader does not wait."""
        for language in LANGUAGES:
            environment = self.environment(translator_for(language))
            for name in environment.list_templates():
                environment.get_template(name)

    def environment(self, translator: Translator) -> Environment:
        """Return the environment of the translator's language."""
        if translator.language not in self._environments:
            self._environments[translator.language] = self._create_environment(translator)
        return self._environments[translator.language]

    def _create_environment(self, translator: Translator) -> Environment:
        environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in self._folders]),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,  # to load a changed template, restart the process
            bytecode_cache=self._bytecode_cache,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        environment.policies["ext.i18n.trimmed"] = True
        environment.install_gettext_translations(translator.catalogue, newstyle=True)  # type: ignore[attr-defined]
        environment.globals |= {
            "language": translator.language,
            "languages": LANGUAGES,
            "translate": translator.gettext,
        }
        environment.filters |= {"instant": translator.instant, "day": translator.day, "money": translator.money}
        return environment


@dataclass(frozen=True, slots=True)
class Page:
    """The page that answers a request: its templates, its language and its address."""

    templates: Templates
    translator: Translator
    chosen_language: str | None
    """The language that the reader chose on the page, or None."""
    path: str
    kept_parameters: Mapping[str, str]
    """The query parameters of the request that are in KEPT_PARAMETERS."""

    def for_locale(self, locale: str) -> "Page":
        """Return the page in the language of ``locale``, unless the reader chose a language."""
        return self if self.chosen_language else replace(self, translator=translator_for(locale))

    def to(self, address: str, **parameters: str) -> str:
        """Return ``address`` with these query parameters and with the language that the reader chose."""
        values = {LANGUAGE_PARAMETER: self.chosen_language, **parameters}
        query = {name: value for name, value in values.items() if value}
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}" if query else address

    def in_language(self, language: str) -> str:
        """Return the address of this page in another language."""
        return f"{self.path}?{urlencode({**self.kept_parameters, LANGUAGE_PARAMETER: language})}"

    def render(
        self, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: object
    ) -> HTMLResponse:
        """Return the response that shows ``template`` with these values."""
        page_values = {
            "to": self.to,
            "path": self.path,
            "in_language": self.in_language,
            "chosen_language": self.chosen_language,
        }
        html = self.templates.environment(self.translator).get_template(template).render(page_values | values)
        language_headers = {"content-language": self.translator.language, "vary": "accept-language"}
        return HTMLResponse(html, status, headers=language_headers | dict(headers or {}))


def page_for(connection: HTTPConnection) -> Page:
    """Return the page that answers this request, in the reader's language."""
    templates = connection.app.state.templates
    assert isinstance(templates, Templates)
    parameters = connection.query_params
    language = parameters.get(LANGUAGE_PARAMETER)
    chosen_language = language if language in LANGUAGES else None
    translator = translator_for(chosen_language or preferred_language(connection.headers.get("accept-language", "")))
    kept_parameters = {name: parameters[name] for name in KEPT_PARAMETERS if name in parameters}
    path = "/" + quote(connection.url.path.lstrip("/"))  # a link to "//other.example" would lead to another host
    return Page(templates, translator, chosen_language, path, kept_parameters)
