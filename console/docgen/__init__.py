"""Generates documents from the code: `python -m console.docgen` writes them into docs/."""

from pathlib import Path

from console.docgen import asyncapi, rules, settings, states

PAGES = {
    "states.md": states.page,
    "rules.md": rules.page,
    "settings.md": settings.page,
    "asyncapi.yaml": asyncapi.page,
}
"""Every generated document, by the name of its file in docs/."""


def write(folder: Path) -> None:
    """Write every generated document into this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")
