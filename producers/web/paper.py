"""Pages: templates that escape whatever is put into them, and refuse to print what was forgotten."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse

HERE = Path(__file__).parent


class Paper:
    """Prints pages from the web's templates, and from folders that come first."""

    def __init__(self, *folders: Path) -> None:
        self._templates = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in (*folders, HERE / "templates")]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["instant"] = instant

    def page(
        self, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **words: object
    ) -> HTMLResponse:
        """One page."""
        return HTMLResponse(self._templates.get_template(template).render(**words), status, headers=dict(headers or {}))


def paper_of(connection: HTTPConnection) -> Paper:
    """The paper of the application that was asked."""
    paper = connection.app.state.paper
    assert isinstance(paper, Paper)
    return paper


def instant(at: datetime) -> str:
    """``17 April 2026, 14:05 UTC``: the zone is said, because the reader's is not known."""
    there = at.astimezone(UTC)
    return f"{there.day} {there:%B %Y, %H:%M} UTC"
