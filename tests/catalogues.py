"""Collects the sentences for customers from code and templates, and updates the translation catalogues.

``make languages`` adds new sentences to config/languages/*.po for translation, and removes unused sentences.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_python
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from config.i18n import CATALOGUES, LANGUAGES
from domain import case_payments, reason_codes, refund_reasons, refund_timing

ROOT = Path(__file__).parents[1]
TRANSLATED = [language for language in LANGUAGES if language != "en"]

Sentence = str | tuple[str, str]
"""A sentence, or a pair of its singular and plural forms."""

NOT_FOR_CUSTOMERS = {"docs.html", "mailbox_email.html", "mailbox.html", "problem_type.html"}
"""Templates that are in English only: pages for developers, and the pages of the demo that show sent e-mails."""

TRANSLATION_CALLS: Mapping[str, tuple[int, ...]] = {
    "_": (1,),
    "gettext": (1,),
    "ngettext": (1, 2),
    "ProblemError": (2,),
    "NotPossibleError": (1,),
}
"""The functions that take a sentence for customers. A number is the position of an argument with a sentence, counted from 1."""

CUSTOMER_MODULES = (
    "producers/web/*.py",
    "producers/web/pages/*.py",
    "producers/intake.py",
    "config/signed_links.py",
    "worker/emails/*.py",
    "console/commands/embed.py",
)

_OTHER_WEB_MODULES = (
    "app auth client_network dependencies health metrics middleware pages/help_articles pages/help_search pages/sent_mail "
    "pages/theme rate_limits templating validation_errors webhooks"
)
OTHER_MODULES = {
    *(f"producers/web/{name}.py" for name in _OTHER_WEB_MODULES.split()),
    *(f"worker/emails/{name}.py" for name in ("case_emails", "delivery", "headers")),
}
"""Modules whose texts are for programs, developers or operators, and not for customers."""

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w+\}")


def collect_sentences() -> dict[Sentence, set[str]]:
    """Return every sentence for customers, with the files that contain it."""
    found: dict[Sentence, set[str]] = {}
    for path, sentence in (*_of_templates(), *_of_code(), *_of_tables()):
        if _is_sentence(sentence):
            found.setdefault(sentence, set()).add(path)
    return found


def read_catalogue(language: str) -> Catalog:
    """Return the catalogue of a language from its file."""
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


def update_catalogue(language: str, sentences: Mapping[Sentence, set[str]]) -> int:
    """Add new sentences to a catalogue, remove unused sentences, and return the number of untranslated sentences."""
    old = read_catalogue(language)
    new = Catalog(locale=language)
    for sentence, paths in sentences.items():
        entry = old.get(sentence if isinstance(sentence, str) else sentence[0])
        kept = entry if entry is not None and entry.id == sentence else None
        new.add(
            sentence,
            kept.string if kept else "",
            locations=[(path, 0) for path in sorted(paths)],
            user_comments=kept.user_comments if kept else (),
        )
    with (CATALOGUES / f"{language}.po").open("wb") as file:
        file.write(_header(new).encode())
        write_po(file, new, width=120, sort_output=True, omit_header=True, include_lineno=False)
    return sum(not is_translated(message.string) for message in new if message.id)


def is_translated(string: object) -> bool:
    """Return whether a catalogue entry is translated."""
    return all(string) if isinstance(string, tuple | list) else bool(string)


def placeholders(text: str) -> list[str]:
    """Return the placeholders of a sentence."""
    return sorted(PLACEHOLDER.findall(text))


def _of_templates() -> Iterator[tuple[str, Sentence]]:
    options = {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}
    for path in sorted((ROOT / "producers/web/templates").rglob("*.html")):
        if path.name not in NOT_FOR_CUSTOMERS:
            with path.open("rb") as file:
                for _, name, message, _ in babel_extract(file, list(TRANSLATION_CALLS), [], options):
                    yield from _argument(path, name, message)


def _of_code() -> Iterator[tuple[str, Sentence]]:
    for path in _customer_modules():
        with path.open("rb") as file:
            for _, name, message, _ in extract_python(file, dict.fromkeys(TRANSLATION_CALLS), [], {}):
                yield from _argument(path, str(name), message)


def _argument(path: Path, function: str, message: Any) -> Iterator[tuple[str, Sentence]]:
    """Yield the sentence if it is a literal argument of the call. `_of_tables` finds sentences in constants."""
    arguments = list(message) if isinstance(message, tuple | list) else [message]
    wanted = [arguments[n - 1] for n in TRANSLATION_CALLS[function] if n <= len(arguments)]
    if wanted and all(isinstance(part, str) for part in wanted):
        yield _relative_path(path), wanted[0] if len(wanted) == 1 else (wanted[0], wanted[1])


def _of_tables() -> Iterator[tuple[str, Sentence]]:
    yield from (
        (_module_path(refund_timing), sentence) for sentence in _strings(vars(refund_timing)["ARRIVAL_BY_METHOD"])
    )
    yield _module_path(refund_timing), refund_timing.DEFAULT_ARRIVAL
    yield from ((_module_path(refund_timing), time.sentence) for time in refund_timing.AnswerTime)
    payment_texts = [*case_payments.METHOD_NAMES.values(), case_payments.OTHER_METHOD]
    payment_texts += [member.sentence for member in (*case_payments.RefundStage, *case_payments.Destination)]
    yield from ((_module_path(case_payments), sentence) for sentence in payment_texts)
    yield from ((_module_path(refund_reasons), reason.sentence) for reason in refund_reasons.RefundReason)
    yield from ((_module_path(reason_codes), code.customer) for code in reason_codes.ReasonCode if code.customer)
    for path in _customer_modules():
        module = import_module(_relative_path(path).removesuffix(".py").replace("/", "."))
        for name in _constants(path):
            yield from ((_relative_path(path), sentence) for sentence in _strings(getattr(module, name)))


def _customer_modules() -> list[Path]:
    paths = (path for pattern in CUSTOMER_MODULES for path in sorted(ROOT.glob(pattern)))
    return [path for path in paths if path.name != "__init__.py" and _relative_path(path) not in OTHER_MODULES]


def _constants(path: Path) -> set[str]:
    """Return the names of the constants that a module defines itself. Imported constants are left out."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found |= {target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()}
    return found


def _strings(value: object) -> Iterator[str]:
    """Yield the texts in a nested table. Skip keys and enum members, because they are names."""
    if type(value) is str:
        yield value
    elif isinstance(value, Mapping):
        yield from _strings(list(value.values()))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _strings([getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for item in value:
            yield from _strings(item)


def _is_sentence(sentence: Sentence) -> bool:
    """Return whether a text is a sentence, and not a name (one lower-case word) or a header (contains ``=``)."""
    text = sentence if isinstance(sentence, str) else sentence[0]
    words = PLACEHOLDER.sub("", text)
    return (
        re.search("[a-z]", words) is not None
        and "=" not in words
        and (" " in text or text[0].isupper() or text[0] == "(" or not text.isascii())
    )


def _module_path(module: ModuleType) -> str:
    return _relative_path(Path(str(module.__file__)))


def _relative_path(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _header(catalog: Catalog) -> str:
    lines = [
        "Project-Id-Version: moneyback",
        f"Language: {catalog.locale_identifier}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
        f"Plural-Forms: {catalog.plural_forms}",
    ]
    return 'msgid ""\nmsgstr ""\n' + "".join(f'"{line}\\n"\n' for line in lines) + "\n"


if __name__ == "__main__":
    sentences = collect_sentences()
    untranslated = {language: update_catalogue(language, sentences) for language in TRANSLATED}
    for language, count in untranslated.items():
        print(f"{language}: {len(sentences)} sentences, {count} of them untranslated.")  # noqa: T201  # a program
    sys.exit(any(untranslated.values()))
