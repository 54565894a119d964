"""Tests that every link, command, setting, make target and path in the documents exists."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic_settings import BaseSettings

from config.broker import QUEUES
from config.connected_providers import account_variables
from config.desk_settings import DeskSettings
from config.helpdesks import HELPDESKS
from config.provider_accounts import ACCOUNTS
from config.rate_limits import Limits
from config.settings import Settings, Timers
from console.cli import app
from records.tables import cases, decisions, desk, desk_users, helpdesks, mail, purchases, queues

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    ]
)
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} | {".ci", ".github"}
COMMANDS: Any = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

NOT_IN_SETTINGS = {
    "MONEYBACK_GOCARDLESS_ACCESS_TOKEN",  # the settings of docs/examples/moneyback-gocardless
    "MONEYBACK_GOCARDLESS_API_BASE",
    "MONEYBACK_GOCARDLESS_WEBHOOK_SECRET",
    "MONEYBACK_FLOWER_LOGIN",  # an option of `moneyback flower`
    "MONEYBACK_HOME",  # the data folder of `moneyback demo` and `moneyback up`
    "MONEYBACK_KEY",  # a shell variable that docs/integrators.md asks the reader to set
}
BLOCKS: tuple[type[BaseSettings], ...] = (
    Settings,
    Timers,
    Limits,
    DeskSettings,
    *ACCOUNTS.values(),
    *HELPDESKS.values(),
)
EXAMPLE_ACCOUNTS = ("stripe:aurora", "paypal:aurora")  # accounts that the documents use as examples
SETTINGS = (
    NOT_IN_SETTINGS
    | {f"{block.model_config.get('env_prefix')}{name.upper()}" for block in BLOCKS for name in block.model_fields}
    | {variable for account in EXAMPLE_ACCOUNTS for variable in account_variables(account).values()}
)
MAX_GLOSSARY = 80  # entries; nobody reads a longer list before choosing a name
MAX_PICTURE = 120_000  # bytes; every visitor of the repository page loads the picture

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
VERB = re.compile(r"\bmoneyback ([a-z][a-z|-]*)(?: ([a-z][a-z|-]*))?")
SETTING = re.compile(r"\bMONEYBACK_[A-Z0-9_]*[A-Z0-9]\b")
TARGET = re.compile(r"^(?:\$ )?make ([a-z][a-z-]*)", re.MULTILINE)
PLACEHOLDER = re.compile(r"<[^>]+>")


def code_in(text: str) -> list[str]:
    """Return the fenced blocks and the code spans of a page."""
    return [*FENCE.findall(text), *SPAN.findall(FENCE.sub("", text))]


def anchors_in(text: str) -> set[str]:
    """Return the anchors that GitHub makes from a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def broken_links(page: Path, text: str) -> Iterator[str]:
    for link, image in LINK.findall(FENCE.sub("", text)):
        target, _, anchor = (link or image).partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        path = page.parent / target if target else page
        if target and not path.exists():
            yield f"link {link or image}"
        elif anchor and anchor not in anchors_in(path.read_text("utf-8") if target else text):
            yield f"anchor {link}"


def unknown_commands(_: Path, text: str) -> Iterator[str]:
    for code in code_in(text):
        for first, second in VERB.findall(code):
            for name in first.split("|"):
                group = getattr(COMMANDS.commands.get(name), "commands", None)
                if name not in COMMANDS.commands:
                    yield f"moneyback {name}"
                elif group:
                    yield from (f"moneyback {name} {verb}" for verb in second.split("|") if verb not in {*group, ""})


def unknown_settings(_: Path, text: str) -> Iterator[str]:
    yield from (name for name in SETTING.findall(text) if name.removesuffix("_FILE") not in SETTINGS)


def unknown_targets(_: Path, text: str) -> Iterator[str]:
    for code in code_in(text):
        lines = code.partition("\n")[2] if code.startswith("```") else code
        yield from (f"make {target}" for target in TARGET.findall(lines) if target not in TARGETS)


def missing_paths(_: Path, text: str) -> Iterator[str]:
    for span in SPAN.findall(FENCE.sub("", text)):
        if re.fullmatch(r"[\w.<>*/-]+", span) and "/" in span and span.partition("/")[0] in FOLDERS:
            pattern = PLACEHOLDER.sub("*", span).rstrip("/")
            if not any(ROOT.glob(pattern)):
                yield span


CHECKS = (broken_links, unknown_commands, unknown_settings, unknown_targets, missing_paths)
Check = Callable[[Path, str], Iterator[str]]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("document", PAGES, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_name_in_a_document_exists(document: Path, check: Check) -> None:
    assert list(check(document, document.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("check", "text", "found"),
    [
        (broken_links, "See [there](missing.md).", "link missing.md"),
        (broken_links, "See [there](states.md#no-such-heading).", "anchor states.md#no-such-heading"),
        (broken_links, "# A heading\n\nSee [above](#another).", "anchor #another"),
        (broken_links, '<img src="images/none.png">', "link images/none.png"),
        (unknown_commands, "Run `moneyback dance`.", "moneyback dance"),
        (unknown_commands, "```sh\nmoneyback sellers dance aurora\n```", "moneyback sellers dance"),
        (unknown_commands, "Run `moneyback sellers add|dance`.", "moneyback sellers dance"),
        (unknown_settings, "Set `MONEYBACK_DANCE=1`.", "MONEYBACK_DANCE"),
        (unknown_settings, "```sh\nexport MONEYBACK_DANCE_FILE=x\n```", "MONEYBACK_DANCE_FILE"),
        (unknown_targets, "Run `make dance`.", "make dance"),
        (unknown_targets, "```console\n$ make dance ARGS=1\n```", "make dance"),
        (missing_paths, "It is in `domain/dance.py`.", "domain/dance.py"),
        (missing_paths, "It is in `tests/contract/dance_<name>.py`.", "tests/contract/dance_<name>.py"),
        (missing_paths, "It is in `worker/dance/`.", "worker/dance/"),
    ],
)
def test_a_planted_mistake_is_found(check: Check, text: str, found: str) -> None:
    assert list(check(DOCS / "page.md", text)) == [found]


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (broken_links, "# The `queue` & more\n\n[a](#the-queue--more), [b](states.md), [c](https://example.com/x)."),
        (
            unknown_commands,
            "Moneyback is a `moneyback` command: `moneyback sellers add aurora`, `moneyback web --workers 2`.",
        ),
        (unknown_settings, "`MONEYBACK_SECRET_KEY_FILE` and the prefix `MONEYBACK_`."),
        (unknown_targets, "`make test ARGS=x` and make sure of it."),
        (missing_paths, "`domain/`, `tests/contract/test_<name>_adapter.py`, `text/plain` and `and/or`."),
    ],
)
def test_nothing_is_found_in_a_correct_text(check: Check, text: str) -> None:
    assert list(check(DOCS / "page.md", text)) == []


def test_the_readme_of_docs_links_every_page_of_docs() -> None:
    linked = {link for link, _ in LINK.findall((DOCS / "README.md").read_text("utf-8"))}
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"README.md"}
    assert pages <= linked


@pytest.mark.parametrize("decision", sorted((DOCS / "decisions").glob("*.md")), ids=lambda decision: decision.stem)
def test_every_decision_page_has_the_same_headings(decision: Path) -> None:
    headings = re.findall(r"^## (.+)$", decision.read_text("utf-8"), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Measured"]


def test_contributing_lists_the_folders_of_the_tests() -> None:
    [tree] = re.findall(r"```\ntests/\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)
    listed = {line.split()[0].rstrip("/") for line in tree.splitlines()}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {name for name in listed if not (ROOT / "tests" / name).exists()} == set()
    assert folders - listed == set()


def test_the_picture_of_the_readme_is_small() -> None:
    assert (DOCS / "images" / "refund-form.png").stat().st_size <= MAX_PICTURE


def architecture(heading: str) -> str:
    """Return one section of the architecture page."""
    page = (DOCS / "architecture.md").read_text("utf-8")
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def drawn_tables() -> dict[str, set[str]]:
    """Return the tables of the entity-relationship diagram, each with its columns."""
    boxes = re.findall(r"^    (\w+) \{\n(.*?)^    \}", architecture("Tables"), re.MULTILINE | re.DOTALL)
    return {table: {line.split()[1] for line in columns.splitlines()} for table, columns in boxes}


def test_the_diagram_shows_every_table_and_only_existing_columns() -> None:
    assert (
        len({module.metadata for module in (cases, decisions, desk, desk_users, helpdesks, mail, purchases, queues)})
        == 1
    )
    drawn, defined = drawn_tables(), cases.cases.metadata.tables
    unknown = {
        f"{table}.{column}"
        for table, columns in drawn.items()
        for column in columns
        if table not in defined or column not in defined[table].columns
    }
    assert unknown == set()
    assert set(drawn) == set(defined)


def test_the_architecture_page_lists_every_queue() -> None:
    assert set(re.findall(r"^\| `([a-z.]+)` \|", architecture("Queues"), re.MULTILINE)) == set(QUEUES)


def glossary_table(heading: str) -> list[list[str]]:
    """Return the rows of one table of the glossary."""
    section = (DOCS / "glossary.md").read_text("utf-8").partition(f"## {heading}")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"][
        2:
    ]


def test_the_glossary_is_short_and_sorted_and_names_the_source_of_each_word() -> None:
    rows = glossary_table("Words we use")
    words = [row[0] for row in rows]
    assert len(rows) <= MAX_GLOSSARY
    assert words == sorted(set(words), key=str.lower)
    assert all(len(row) == 3 and row[1].count(". ") == 0 and row[1].endswith(".") and row[2] for row in rows)


def test_the_glossary_does_not_forbid_its_own_words() -> None:
    forbidden = {word for row in glossary_table("Words we do not use") for word in row[0].split(", ")}
    assert forbidden
    assert forbidden & {row[0] for row in glossary_table("Words we use")} == set()
