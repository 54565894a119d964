"""The documents that are made from the code: `python -m console.documents` writes them into docs/ anew."""

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema
from pydantic_core import PydanticUndefined

from config.settings import Settings, Timers
from domain.aftermath import AFTERMATH, Patience, lanes_of
from domain.eligibility import RULES
from domain.findings import Code
from domain.messages import LANES, ContactSupport, IncomingRequest, LettersDue, Message
from domain.states import BEGIN, ENDED, LIVE, MOVES, MOVING, WAITING_FOR_A_PERSON, State
from producers.web.words import STANDINGS
from records.dead import DeadMessage

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]

_MADE = "Made from the code by `python -m console.documents`; a change made here is lost."


def states() -> str:
    """The states of a case and the moves between them."""
    event, first = BEGIN
    arrows = [f"[*] --> {first}: {event}", *(f"{here} --> {there}: {event}" for (here, event), there in MOVES.items())]
    arrows += [f"{state} --> [*]" for state in State if state in ENDED]
    rows = [
        (f"`{state}`", STANDINGS[state].heading, _arrival(state), _ways_on(state), _sweep(state)) for state in State
    ]
    return _page(
        "The states of a case",
        "A case is in one of these states, and moves only along these arrows. Each move is a row of its history; the words "
        "on the arrows are the events as history has them.",
        "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {arrow}" for arrow in arrows), "```"]),
        "## State by state",
        _table(("state", "what the customer reads", "on arrival", "moved on by", "if nobody does"), rows),
        "## Sets of states",
        _table(
            ("set", "states"),
            [(says, ", ".join(f"`{s}`" for s in State if s in states)) for says, states in _SETS.items()],
        ),
    )


def rules() -> str:
    """The rules of an automatic refund, and what each can find wrong."""
    listed = [(f"`{rule.__name__}`", _said(rule).partition("\n\n")[0]) for rule in RULES]
    head = ("code", "for support", "for the customer")
    codes = [(f"`{code}`", code.support, code.customer or "– (only that a person must look)") for code in Code]
    return _page(
        "The rules of an automatic refund",
        f"All {len(RULES)} rules are asked of every request whose purchase is known and free, so that all the reasons are "
        "there at once. A refund is automatic when every one is kept; otherwise a person decides. The policy that counts is "
        "the one that was in force when the purchase was made.",
        _table(("rule", "what it says"), listed),
        "## What can be found wrong",
        "Some codes are not found by a rule but while a refund is paid. A code without a sentence for the customer is not "
        "told to them.",
        _table(head, codes),
    )


def settings() -> str:
    """Every setting."""
    head = ("variable", "default", "what it is")
    return _page(
        "Settings",
        "Every setting is an environment variable. 🔒 marks a secret.",
        _table(head, [_setting(name, facts) for name, facts in Settings.model_fields.items() if name != "timers"]),
        "## Times",
        inspect.cleandoc(Timers.__doc__ or ""),
        "`MONEYBACK_HTTP_SECONDS` < `MONEYBACK_SOFT_SECONDS` < `MONEYBACK_HARD_SECONDS` < `MONEYBACK_LEASE_SECONDS` must hold; "
        "otherwise no part starts.",
        _table(head, [_setting(name, facts) for name, facts in Timers.model_fields.items()]),
    )


def asyncapi() -> str:
    """The queues and what lies on them, as AsyncAPI 3.0 in YAML."""
    return f"# {_MADE}\n" + "\n".join(_yaml(queues())) + "\n"


def queues() -> Json:
    """The queues and what lies on them, as an AsyncAPI 3.0 document."""
    lanes: list[type[Message]] = list(LANES.values())
    sent: list[type[Message]] = [*lanes, ContactSupport]
    received: list[type[Message]] = [*lanes, IncomingRequest]
    every = list(dict.fromkeys(sent + received))
    written: list[tuple[type[Message], Mode]] = [(model, "serialization") for model in sent]
    _, schemas = models_json_schema([*written, (IncomingRequest, "validation")], ref_template=f"{_SCHEMAS}{{model}}")
    messages = {model.__name__: _event(model) for model in every}
    messages |= {model.__name__: _task(model.queue, _said(model), model.__name__) for model in lanes}
    messages["Sweep"] = _task("sweep", "Beat's tick: send again what nobody moved. It has no argument.")
    operations: list[tuple[str, type[Message]]] = [("send", model) for model in sent]
    operations += [("receive", model) for model in received]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Moneyback's queues", "version": "1", "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {model.queue: _channel(model) for model in every},
        "operations": {f"{action}.{model.queue}": _operation(action, model) for action, model in operations},
        "components": {"messages": messages, "schemas": _plain(schemas["$defs"])},
        "x-dead-store": {"description": _DEAD, "fields": [field.name for field in fields(DeadMessage)]},
    }


PAGES = {"states.md": states, "rules.md": rules, "settings.md": settings, "asyncapi.yaml": asyncapi}
"""Every document that is made, by its file in docs/."""


def write(folder: Path) -> None:
    """Writes all of them into this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


_ABOUT = (
    "Queues of one broker, on its default exchange: a queue's name is its routing key. The lanes "
    "are between our own parts, as tasks of Celery: they say which cases may be ready to move, the database says whether they "
    "are, so a lost message is sent again and a repeated one does nothing. Two queues are for others, as CloudEvents 1.0 in "
    "JSON: helpdesks consume support.contact, where a repeated event has the same id; upstream forms publish to "
    "refund.requests. On Redis and Valkey what we send lies in kombu's envelope, with its body in base64."
)
_DEAD = (
    "Not a queue but a table of the database: messages of refund.requests and of the lanes that nobody could read, byte for "
    "byte, each with the queue it lay on and a sentence that says why. `moneyback cases dead` lists them, `moneyback cases "
    "redrive` puts them back on their queue."
)
_SCHEMAS = "#/components/schemas/"


def _names(model: type[Message]) -> list[str]:
    return [model.__name__, *(["Sweep"] if model is LettersDue else [])]  # worker/options.py: the tick rides along


def _channel(model: type[Message]) -> Json:
    told = {name: {"$ref": f"#/components/messages/{name}"} for name in _names(model)}
    return {"address": model.queue, "description": _said(model), "messages": told}


def _operation(action: str, model: type[Message]) -> Json:
    told = [{"$ref": f"#/channels/{model.queue}/messages/{name}"} for name in _names(model)]
    return {"action": action, "channel": {"$ref": f"#/channels/{model.queue}"}, "messages": told}


def _event(model: type[Message]) -> Json:
    return {"summary": _said(model), "payload": {"$ref": f"{_SCHEMAS}{model.__name__}"}}


def _task(task: str, says: str, argument: str | None = None) -> Json:
    """A message of Celery's, protocol 2: arguments, named arguments, and what is embedded for Celery itself."""
    arguments: Json = {"type": "array", "maxItems": 0}
    if argument:
        arguments = {"type": "array", "items": [{"$ref": f"{_SCHEMAS}{argument}"}], "minItems": 1, "maxItems": 1}
    parts = [arguments, {"type": "object"}, {"type": "object"}]
    headers = {"required": ["task", "id"], "properties": {"task": {"const": task}, "id": {"type": "string"}}}
    payload = {"type": "array", "items": parts, "minItems": len(parts), "maxItems": len(parts)}
    return {"summary": says, "headers": {"type": "object", **headers}, "payload": payload}


def _said(thing: object) -> str:
    return str(_plain(inspect.getdoc(thing)))


def _plain(value: Any) -> Any:  # noqa: ANN401  # JSON
    """Descriptions as people read them: one line a paragraph, one backtick where a docstring has two."""
    if isinstance(value, dict):
        return {
            name: _plain(inner) for name, inner in value.items() if not (name == "title" and isinstance(inner, str))
        }
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return re.sub(r"(?<!\n)\n(?!\n)", " ", value).replace("``", "`") if isinstance(value, str) else value


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


_SETS = {
    "moving: our own workers must move these on; the sweep owns whatever stays in one too long": MOVING,
    "waiting for a person: the customer or support says what comes next": WAITING_FOR_A_PERSON,
    "ended: nobody need move these on": ENDED,
    "live: these hold the purchase, and a second request for it joins the first": LIVE,
}
_SECONDS = {
    Patience.LANE: "lane_seconds",
    Patience.LEASE: "lease_seconds",
    Patience.POLL: "settle_seconds",
    Patience.CONFIRM: "confirm_seconds",
}


def _arrival(state: State) -> str:
    letter = AFTERMATH[state].letter
    told = [f"`{lane.queue}`" for lane in lanes_of(AFTERMATH[state])]
    return ", ".join([*told, *([f"letter `{letter}`"] if letter else [])]) or "–"


def _ways_on(state: State) -> str:
    ways = [f"`{event}` → `{there}`" for (here, event), there in MOVES.items() if here is state]
    return "<br>".join(ways) or "–"


def _sweep(state: State) -> str:
    after = AFTERMATH[state]
    if after.patience is None:
        return "–"
    act = f"sends it to `{after.resend.queue}`" if after.resend else "ends it"
    return f"the sweep {act} after `MONEYBACK_{_SECONDS[after.patience].upper()}`"


def _setting(name: str, facts: FieldInfo) -> tuple[str, str, str]:
    secret = " 🔒" if "SecretStr" in str(facts.annotation) else ""
    default = _UNSET.get(facts.default, f"`{facts.default}`")
    return f"`MONEYBACK_{name.upper()}`{secret}", default, f"{facts.description}"


_UNSET = {PydanticUndefined: "must be set", None: "not set"}


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"<!-- {_MADE} -->", f"# {title}", *parts]) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    write(Path("docs"))
