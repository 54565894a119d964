"""docs/asyncapi.yaml: the queues and what lies on them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, Literal

from pydantic.json_schema import models_json_schema

from config.broker import TICKS
from console.docgen.markdown import MADE, plain, said
from domain.messages import LANES, ContactSupport, IncomingRequest, Message
from records.dead import DeadMessage

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]


def page() -> str:
    """The queues and what lies on them, as AsyncAPI 3.0 in YAML."""
    return f"# {MADE}\n" + "\n".join(_yaml(document())) + "\n"


def document() -> Json:
    """The queues and what lies on them, as an AsyncAPI 3.0 document."""
    lanes: list[type[Message]] = list(LANES.values())
    sent: list[type[Message]] = [*lanes, ContactSupport]
    received: list[type[Message]] = [*lanes, IncomingRequest]
    every = list(dict.fromkeys(sent + received))
    written: list[tuple[type[Message], Mode]] = [(model, "serialization") for model in sent]
    _, schemas = models_json_schema([*written, (IncomingRequest, "validation")], ref_template=f"{_SCHEMAS}{{model}}")
    messages = {model.__name__: _event(model) for model in every}
    messages |= {model.__name__: _task(model.queue, said(model), model.__name__) for model in lanes}
    messages |= {
        task.capitalize(): _task(task, f"Beat's tick: {says}. It has no argument.") for task, says in _TICKS.items()
    }
    ticks = [task.capitalize() for task in _TICKS]
    operations: list[tuple[str, type[Message]]] = [("send", model) for model in sent]
    operations += [("receive", model) for model in received]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Moneyback's queues", "version": "1", "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {model.queue: _channel(model.queue, said(model), [model.__name__]) for model in every}
        | {TICKS: _channel(TICKS, "What beat asks for now and then.", ticks)},
        "operations": {
            f"{act}.{model.queue}": _operation(act, model.queue, [model.__name__]) for act, model in operations
        }
        | {f"{action}.{TICKS}": _operation(action, TICKS, ticks) for action in ("send", "receive")},
        "components": {"messages": messages, "schemas": plain(schemas["$defs"])},
        "x-dead-store": {"description": _DEAD, "fields": [field.name for field in fields(DeadMessage)]},
    }


_ABOUT = (
    "Queues of one broker, on its default exchange: a queue's name is its routing key. The lanes "
    "are between our own parts, as tasks of Celery: they say which cases may be ready to move, the database says whether they "
    "are, so a lost message is sent again and a repeated one does nothing. Two queues are for others, as CloudEvents 1.0 in "
    "JSON: helpdesks consume support.contact, where a repeated event has the same id; upstream forms publish to "
    "refund.requests. On Redis and Valkey what we send lies in kombu's envelope, with its body in base64."
)
_DEAD = (
    "Not a queue but a table of the database: messages of refund.requests and of the lanes that nobody could read, byte for "
    "byte, each with the queue it lay on and a sentence that says why. `moneyback dead-letters list` lists them, `moneyback "
    "dead-letters redrive` puts them back on their queue."
)
_SCHEMAS = "#/components/schemas/"


_TICKS = {
    "sweep": "send again what nobody moved",
    "reconcile": "hold the refunds that providers list against ours, once a day",
}


def _channel(queue: str, says: str, names: Sequence[str]) -> Json:
    told = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    return {"address": queue, "description": says, "messages": told}


def _operation(action: str, queue: str, names: Sequence[str]) -> Json:
    told = [{"$ref": f"#/channels/{queue}/messages/{name}"} for name in names]
    return {"action": action, "channel": {"$ref": f"#/channels/{queue}"}, "messages": told}


def _event(model: type[Message]) -> Json:
    return {"summary": said(model), "payload": {"$ref": f"{_SCHEMAS}{model.__name__}"}}


def _task(task: str, says: str, argument: str | None = None) -> Json:
    """A message of Celery's, protocol 2: arguments, named arguments, and what is embedded for Celery itself."""
    arguments: Json = {"type": "array", "maxItems": 0}
    if argument:
        arguments = {"type": "array", "items": [{"$ref": f"{_SCHEMAS}{argument}"}], "minItems": 1, "maxItems": 1}
    parts = [arguments, {"type": "object"}, {"type": "object"}]
    headers = {"required": ["task", "id"], "properties": {"task": {"const": task}, "id": {"type": "string"}}}
    payload = {"type": "array", "items": parts, "minItems": len(parts), "maxItems": len(parts)}
    return {"summary": says, "headers": {"type": "object", **headers}, "payload": payload}


def _yaml(value: Json | list[Any], indent: str = "") -> Iterator[str]:
    """Plain YAML: a string is as JSON writes it, which YAML reads the same."""
    for name, inner in value.items() if isinstance(value, dict) else ((None, one) for one in value):
        start = f"{indent}- " if name is None else f"{indent}{name}:"
        if not inner or not isinstance(inner, dict | list):
            yield f"{start.rstrip()} {json.dumps(inner, ensure_ascii=False)}"
        elif name is None:
            first, *others = _yaml(inner, f"{indent}  ")
            yield from (f"{start}{first.lstrip()}", *others)
        else:
            yield from (start, *_yaml(inner, f"{indent}  "))
