"""No name in the code or in a public interface contains a word that docs/glossary.md forbids."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.desk_settings import DeskSettings
from config.rate_limits import Limits
from config.settings import Settings, Timers
from domain import messages
from producers.web.api.openapi import openapi_document
from producers.web.app import app
from records.tables.metadata import metadata
from tests.services import offline_settings

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "config", "records", "producers", "worker", "console", "moneyback_plugin")
EXTERNAL = ("dead_letters", "dead_letter", "dead-letters", "deadletters", "deadletter")
"""Names that are allowed, although they contain a forbidden word. The documentation of message brokers uses these names."""
MESSAGES = [kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, messages.Message)]


def forbidden() -> frozenset[str]:
    """Return the forbidden words: the left column of the second table of the glossary."""
    text = (ROOT / "docs" / "glossary.md").read_text()
    rows = text.split("| not | but |\n|---|---|\n")[1].split("\n\n")[0].splitlines()
    return frozenset(word.strip() for row in rows for word in row.split("|")[1].split(","))


def words_of(name: str) -> list[str]:
    """Split snake_case, CamelCase and dotted names into lower-case words."""
    for term in EXTERNAL:
        name = re.sub(rf"(?i)(?<![a-z]){term}(?![a-z])", "", name)
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def bindings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield every name that a module defines. Imported names and attributes of other libraries are not checked."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name


def log_events(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the names of log events, which are the first arguments of ``log.info("…")`` and similar calls."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log" | "_log")), args=[ast.Constant(value=str(name)), *_]
            ):
                yield node.lineno, name


def names_in_code() -> Iterator[tuple[str, str]]:
    """Yield a pair (place, name) for every file path, every defined name and every log event in the code."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            place = str(file.relative_to(ROOT))
            yield place, place.removesuffix(".py")
            tree = ast.parse(file.read_text())
            for line, name in (*bindings(tree), *log_events(tree)):
                yield f"{place}:{line}", name


def public_names() -> Iterator[tuple[str, str]]:
    """Yield the names of settings, tables, columns, queues, message fields, and the names in the OpenAPI document."""
    for model in (Settings, Timers, Limits, DeskSettings):
        yield from ((f"setting {field}", field) for field in model.model_fields)
    for table in metadata.tables.values():
        yield f"table {table.name}", table.name
        yield from ((f"column {table.name}.{column.name}", column.name) for column in table.columns)
    for message in MESSAGES:
        yield f"queue of {message.__name__}", getattr(message, "queue", "")
        yield from ((f"field {message.__name__}.{field}", field) for field in message.model_fields)
    document = openapi_document(app(offline_settings()))
    for part in ("paths", "components"):
        yield from ((f"OpenAPI {part}", name) for name in names_of_json(document[part]))


def names_of_json(value: object) -> Iterator[str]:
    """Yield the keys, operation ids and titles of a JSON document. Other values are sentences, not names."""
    match value:
        case dict():
            for key, inner in value.items():
                yield str(key)
                if key in {"operationId", "title"}:
                    yield str(inner)
                yield from names_of_json(inner)
        case list():
            for inner in value:
                yield from names_of_json(inner)


def found_in(names: Iterator[tuple[str, str]]) -> dict[str, str]:
    """Return the names that contain a forbidden word. The keys are the places of the names."""
    words = forbidden()
    return {place: name for place, name in names if words & set(words_of(name))}


def test_no_name_in_the_code_contains_a_forbidden_word() -> None:
    assert found_in(names_in_code()) == {}


def test_no_public_name_contains_a_forbidden_word() -> None:
    assert found_in(public_names()) == {}


def test_the_glossary_explains_40_to_80_words() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    rows = text.split("| word | meaning | whose word |\n|---|---|---|\n")[1].split("\n\n")[0].splitlines()
    assert 40 <= len(rows) <= 80


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("hear", True),
        ("WebhookHearing", True),
        ("letter_not_sent", True),
        ("MOST_LETTERS", True),
        ("dead_letters", False),
        ("heartbeat", False),
        ("process_webhook_events", False),
    ],
)
def test_a_forbidden_word_is_found_as_a_whole_word_of_a_name(name: str, found: bool) -> None:
    assert bool(forbidden() & set(words_of(name))) is found
