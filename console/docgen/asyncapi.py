"""Generates docs/asyncapi.yaml: the queues that other systems use, and their messages."""

import json
from collections.abc import Iterator
from typing import Any, Literal

from pydantic.json_schema import models_json_schema

from console.docgen.markdown import GENERATED, docstring_text, plain
from domain.messages import ContactSupport, IncomingRequest, Message, SupportTaskEvent

Json = dict[str, Any]
Action = Literal["send", "receive"]

_PUBLIC: tuple[tuple[Action, type[Message]], ...] = (
    ("receive", IncomingRequest),
    ("send", ContactSupport),
    ("send", SupportTaskEvent),
)
"""The messages that Moneyback receives or sends, one for each public queue. Other queues are internal."""

_DESCRIPTION = (
    "Three queues of one broker, for other systems. Other systems publish refund requests to refund.requests, and consume "
    "support tasks from support.contact (version 1) or support.tasks (version 2). The messages are CloudEvents 1.0 in JSON. "
    "The queues are on the default exchange, "
    "so the name of a queue is its routing key. On Redis and Valkey, Moneyback publishes in kombu's envelope, with the "
    "message in base64."
)
_SCHEMAS = "#/components/schemas/"


def page() -> str:
    """Return the document as YAML."""
    return f"# {GENERATED}\n" + "\n".join(_yaml(document())) + "\n"


def document() -> Json:
    """Return the public queues and their messages as an AsyncAPI 3.0 document."""
    models = [model for _, model in _PUBLIC]
    _, schemas = models_json_schema(
        [(model, "serialization" if action == "send" else "validation") for action, model in _PUBLIC],
        ref_template=f"{_SCHEMAS}{{model}}",
    )
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Moneyback's queues", "version": "1", "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {model.queue: _channel(model) for model in models},
        "operations": {f"{action}.{model.queue}": _operation(action, model) for action, model in _PUBLIC},
        "components": {
            "messages": {model.__name__: _message(model) for model in models},
            "schemas": plain(schemas["$defs"]),
        },
    }


def _channel(model: type[Message]) -> Json:
    messages = {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"}}
    return {"address": model.queue, "description": docstring_text(model), "messages": messages}


def _operation(action: Action, model: type[Message]) -> Json:
    channel = f"#/channels/{model.queue}"
    messages = [{"$ref": f"{channel}/messages/{model.__name__}"}]
    return {"action": action, "channel": {"$ref": channel}, "messages": messages}


def _message(model: type[Message]) -> Json:
    return {"summary": docstring_text(model), "payload": {"$ref": f"{_SCHEMAS}{model.__name__}"}}


def _yaml(value: Json | list[Any], indent: str = "") -> Iterator[str]:
    """Yield the lines of plain YAML. A string is written as in JSON, because every JSON string is valid YAML."""
    for name, inner in value.items() if isinstance(value, dict) else ((None, item) for item in value):
        start = f"{indent}- " if name is None else f"{indent}{name}:"
        if not inner or not isinstance(inner, dict | list):
            yield f"{start.rstrip()} {json.dumps(inner, ensure_ascii=False)}"
        elif name is None:
            first_line, *other_lines = _yaml(inner, f"{indent}  ")
            yield from (f"{start}{first_line.lstrip()}", *other_lines)
        else:
            yield from (start, *_yaml(inner, f"{indent}  "))
