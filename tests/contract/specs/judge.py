"""Whether what is asked and answered is as a provider's own API description has it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.doubles.faulty_server import HttpRequest, HttpResponse

FOLDER = Path(__file__).parent


class Judge:
    """Reads one description. ``complaints`` is what was not as it says; ``below`` is where its paths begin."""

    def __init__(self, name: str, *, below: str = "") -> None:
        self.description: dict[str, Any] = json.loads((FOLDER / name).read_text())
        self.complaints: list[str] = []
        self.heard = 0
        """How often it had something to judge."""
        self._below = below

    def between(self, answer: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
        """Listens to a double that answers."""

        def listening(asked: HttpRequest) -> HttpResponse:
            said = answer(asked)
            if operation := self._operation(asked):
                self.heard += 1
                if asked.body:
                    self._check(operation["requestBody"], asked.body, f"{asked.method} {asked.path}")
                answered = operation["responses"].get(str(said.status)) or operation["responses"]["default"]
                if "content" in answered:
                    self._check(answered, said.body, f"{said.status} to {asked.method} {asked.path}")
            return said

        return listening

    def check(self, schema: str, document: object, what: str = "") -> None:
        """Whether a document is as the schema of this name."""
        self._validate({"$ref": f"#/components/schemas/{schema}"}, document, what or schema)

    def _operation(self, asked: HttpRequest) -> dict[str, Any] | None:
        for template, methods in self.description["paths"].items():
            if re.fullmatch(self._below + re.sub(r"\{[^}]+\}", "[^/]+", template), asked.path):
                operation: dict[str, Any] | None = methods.get(asked.method.lower())
                return operation
        return None

    def _check(self, place: dict[str, Any], body: bytes, what: str) -> None:
        self._validate(place["content"]["application/json"]["schema"], json.loads(body), what)

    def _validate(self, schema: dict[str, Any], document: object, what: str) -> None:
        whole = {**schema, "components": self.description["components"]}
        self.complaints += [f"{what}: {error.message}" for error in Draft202012Validator(whole).iter_errors(document)]
