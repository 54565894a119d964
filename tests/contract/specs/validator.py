"""Checks requests and responses against a provider's own API description."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator

from tests.doubles.faulty_server import HttpRequest, HttpResponse

FOLDER = Path(__file__).parent


class SpecValidator:
    """Compares requests and responses with an API description. ``errors`` lists the differences.

    A request's path is ``base_path`` followed by a path of the description.
    """

    def __init__(self, name: str, *, base_path: str = "") -> None:
        self.description: dict[str, Any] = json.loads((FOLDER / name).read_text())
        self.errors: list[str] = []
        self.checked_calls = 0
        """The number of checked requests: those whose method and path are in the description."""
        self._base_path = base_path
        self._validators: dict[
            str, Draft202012Validator
        ] = {}  # compiled once for each schema, because compiling is slow

    def wrap(self, answer: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
        """Return an ``answer`` function that also checks each request and its response."""

        def checked_answer(request: HttpRequest) -> HttpResponse:
            response = answer(request)
            if operation := self._operation(request):
                self.checked_calls += 1
                if request.body:
                    self._check_body(operation["requestBody"], request.body, f"{request.method} {request.path}")
                described = operation["responses"].get(str(response.status)) or operation["responses"]["default"]
                if "content" in described:
                    place = f"{response.status} to {request.method} {request.path}"
                    self._check_body(described, response.body, place)
            return response

        return checked_answer

    def check(self, schema: str, document: object) -> None:
        """Check a document against a schema of the description."""
        self._validate({"$ref": f"#/components/schemas/{schema}"}, document, schema)

    def _operation(self, request: HttpRequest) -> dict[str, Any] | None:
        for template, methods in self.description["paths"].items():
            if re.fullmatch(self._base_path + re.sub(r"\{[^}]+\}", "[^/]+", template), request.path):
                operation: dict[str, Any] | None = methods.get(request.method.lower())
                return operation
        return None

    def _check_body(self, described: dict[str, Any], body: bytes, place: str) -> None:
        self._validate(described["content"]["application/json"]["schema"], json.loads(body), place)

    def _validate(self, schema: dict[str, Any], document: object, place: str) -> None:
        text = json.dumps(schema)
        if text not in self._validators:
            self._validators[text] = Draft202012Validator({**schema, "components": self.description["components"]})
        self.errors += [f"{place}: {error.message}" for error in self._validators[text].iter_errors(document)]
