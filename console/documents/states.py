"""docs/states.md: the states of a case and the moves between them."""

from console.documents.markdown import document, table
from domain.aftermath import AFTERMATH, lanes_of
from domain.states import BEGIN, ENDED, LIVE, MOVES, MOVING, WAITING_FOR_A_PERSON, State
from producers.web.words import STANDINGS


def page() -> str:
    """The states of a case and the moves between them."""
    event, first = BEGIN
    arrows = [f"[*] --> {first}: {event}", *(f"{here} --> {there}: {event}" for (here, event), there in MOVES.items())]
    arrows += [f"{state} --> [*]" for state in State if state in ENDED]
    rows = [
        (f"`{state}`", STANDINGS[state].heading, _arrival(state), _ways_on(state), _sweep(state)) for state in State
    ]
    return document(
        "The states of a case",
        "A case is in one of these states, and moves only along these arrows. Each move is a row of its history; the words "
        "on the arrows are the events as history has them.",
        "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {arrow}" for arrow in arrows), "```"]),
        "## State by state",
        table(("state", "what the customer reads", "on arrival", "moved on by", "if nobody does"), rows),
        "## Sets of states",
        table(
            ("set", "states"),
            [(says, ", ".join(f"`{s}`" for s in State if s in states)) for says, states in _SETS.items()],
        ),
    )


_SETS = {
    "moving: our own workers must move these on; the sweep owns whatever stays in one too long": MOVING,
    "waiting for a person: the customer or support says what comes next": WAITING_FOR_A_PERSON,
    "ended: nobody need move these on": ENDED,
    "live: these hold the purchase, and a second request for it joins the first": LIVE,
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
    return f"the sweep {act} after `MONEYBACK_{after.patience.upper()}`"
