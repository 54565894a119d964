"""Generates docs/states.md: the states of a case and the transitions between them."""

from console.docgen.markdown import document, table
from domain.state_effects import EFFECTS, messages_for
from domain.states import FINAL_STATES, INITIAL, MOVES, OPEN_STATES, WAITING_STATES, WORKER_STATES, State
from producers.web.pages.case_copy import HEADLINES


def page() -> str:
    """Return the page docs/states.md as text."""
    event, first = INITIAL
    arrows = [
        f"[*] --> {first}: {event}",
        *(f"{from_state} --> {to_state}: {event}" for (from_state, event), to_state in MOVES.items()),
    ]
    arrows += [f"{state} --> [*]" for state in State if state in FINAL_STATES]
    rows = [
        (f"`{state}`", HEADLINES[state].heading, _effects(state), _transitions(state), _timeout(state))
        for state in State
    ]
    return document(
        "The states of a case",
        "A case is in one of these states. Only the transitions in this diagram are possible. The text at an arrow is the "
        "event that causes the transition. Each transition is recorded as a row of the case's history.",
        "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {arrow}" for arrow in arrows), "```"]),
        "## State by state",
        table(("state", "heading for the customer", "queues and e-mail", "events and next states", "timeout"), rows),
        "## Sets of states",
        table(
            ("set of states", "states"),
            [(meaning, ", ".join(f"`{s}`" for s in State if s in states)) for meaning, states in _SETS.items()],
        ),
    )


_SETS = {
    "worker states: a worker must act next; for an overdue case, the sweep publishes a message": WORKER_STATES,
    "waiting states: the customer or support must act next": WAITING_STATES,
    "final states: no further action is needed": FINAL_STATES,
    "open states: while a case is in such a state, another request for its purchase is a duplicate": OPEN_STATES,
}


def _effects(state: State) -> str:
    email = EFFECTS[state].email
    effects = [f"`{message.queue}`" for message in messages_for(state)]
    return ", ".join([*effects, *([f"e-mail `{email}`"] if email else [])]) or "–"


def _transitions(state: State) -> str:
    transitions = [
        f"`{event}` → `{to_state}`" for (from_state, event), to_state in MOVES.items() if from_state is state
    ]
    return "<br>".join(transitions) or "–"


def _timeout(state: State) -> str:
    effects = EFFECTS[state]
    if effects.timeout is None:
        return "–"
    action = f"sends the case to `{effects.resend.queue}`" if effects.resend else "ends the case"
    return f"after `MONEYBACK_{effects.timeout.upper()}`, the sweep {action}"
