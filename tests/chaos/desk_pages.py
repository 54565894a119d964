"""Reads the forms of a page of the desk, as a browser does, so that an agent can fill them in and send them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Form:
    """A form: its address, and the fields that a browser would send if nobody typed anything."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    """The names of all fields, also of the choices that are not checked."""


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._text_of = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(values.get("action", ""))
            self.forms.append(self._form)
        elif self._form and tag in {"input", "textarea"}:
            name = values.get("name", "")
            self._form.names.add(name)
            is_choice = values.get("type") in {"radio", "checkbox"}
            if not is_choice or "checked" in values:
                self._form.fields[name] = values.get("value", "")
            self._text_of = name if tag == "textarea" else ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._text_of = ""

    def handle_data(self, data: str) -> None:
        if self._form and self._text_of:
            self._form.fields[self._text_of] += data


@dataclass
class CasePage:
    """The page of a case. A form that the page does not have is None."""

    decide: Form | None = None
    confirm: Form | None = None
    undo: Form | None = None
    take: Form | None = None
    release: Form | None = None

    @property
    def revision(self) -> str:
        """Return the revision of the case that the page shows, or an empty text if nothing can be decided on the page."""
        form = self.decide or self.confirm
        return form.fields.get("revision", "") if form else ""


def read_case_page(html: str) -> CasePage:
    """Return the forms of a page of a case."""
    parser = _Parser()
    parser.feed(html)
    return CasePage(**dict(_named(parser.forms)))


def _named(forms: list[Form]) -> Iterator[tuple[str, Form]]:
    for form in forms:
        last = form.action.rpartition("/")[2]
        name = "decide" if last == "decisions" else last
        if name in CasePage.__dataclass_fields__:
            yield name, form
