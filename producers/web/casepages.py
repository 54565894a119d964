"""The pages about one case: confirm and status. Their links are signed, each for its one purpose."""

from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from config.links import Links, Purpose
from domain.errors import NotPossibleError
from domain.states import State
from producers import intake
from producers.web import forms, words
from producers.web.pages import SEEN
from producers.web.problems import Kind, ProblemError
from producers.web.state import TheLinks, ThePaper, TheRecords
from records import Records
from records.views import View

casepages = APIRouter(include_in_schema=False)

_CONFIRMED = frozenset({State.APPROVED, State.REFUNDING, State.REFUND_PENDING, State.REFUNDED})


@casepages.api_route("/confirm/{token}", methods=SEEN)
def ask(token: str, paper: ThePaper, records: TheRecords, links: TheLinks) -> Response:
    """Shows what is about to be refunded. Looking changes nothing: mail scanners open every link."""
    view = _view(records, _case(links, Purpose.CONFIRM, token))
    if view.state in _CONFIRMED:
        return RedirectResponse(_status(links, view.id), 303)
    if view.state is not State.AWAITING_CONFIRMATION:
        standing = words.STANDINGS[view.state]
        raise ProblemError(_too_late(view.state), f"{standing.heading}. {standing.sentence}")
    return paper.page("confirm.html", view=view, amount=words.amount_of(view), token=token)


@casepages.post("/confirm/{token}", dependencies=[Depends(forms.nothing_typed)])
def confirm(token: str, records: TheRecords, links: TheLinks) -> Response:
    """The customer says yes."""
    case = _case(links, Purpose.CONFIRM, token)
    try:
        intake.confirm(records, case)
    except NotPossibleError as error:
        raise ProblemError(_too_late(_view(records, case).state), str(error)) from None
    return RedirectResponse(_status(links, case), 303)


@casepages.post("/confirm/{token}/withdraw", dependencies=[Depends(forms.nothing_typed)])
def withdraw(token: str, records: TheRecords, links: TheLinks) -> Response:
    """The customer does not want the refund after all."""
    case = _case(links, Purpose.CONFIRM, token)
    try:
        intake.withdraw(records, case)
    except NotPossibleError as error:
        state = _view(records, case).state
        if state is not State.WITHDRAWN:
            raise ProblemError(_too_late(state), str(error)) from None
    return RedirectResponse(_status(links, case), 303)


@casepages.api_route("/status/{token}", methods=SEEN)
def status(token: str, paper: ThePaper, records: TheRecords, links: TheLinks) -> Response:
    """Where a case stands, why, and how it came there."""
    case = _case(links, Purpose.STATUS, token)
    with records.work() as work:
        view = work.views.one(case)
        history = work.history.of(case)
    if view is None:
        raise ProblemError(Kind.NOT_FOUND)
    return paper.page(
        "status.html",
        view=view,
        standing=words.STANDINGS[view.state],
        reasons=words.sentences_for_customer(view.reasons) if view.state is State.WITH_SUPPORT else [],
        timeline=words.timeline(history),
        amount=words.amount_of(view),
        shows_purchase=words.shows_purchase(view),
        moving=view.state in words.MOVES_BY_ITSELF,
        again=view.state in {State.EXPIRED, State.WITHDRAWN, State.UNMATCHED},
    )


def _case(links: Links, purpose: Purpose, token: str) -> UUID:
    try:
        return links.read(purpose, token)
    except NotPossibleError as error:
        raise ProblemError(Kind.NOT_FOUND, str(error)) from None


def _view(records: Records, case: UUID) -> View:
    with records.work() as work:
        view = work.views.one(case)
    if view is None:
        raise ProblemError(Kind.NOT_FOUND)
    return view


def _status(links: Links, case: UUID) -> str:
    """The status page on the host that was asked, whatever the letters call it."""
    return f"/status/{links.to(Purpose.STATUS, case).rpartition('/')[2]}"


def _too_late(state: State) -> Kind:
    return Kind.TOO_LATE if state is State.EXPIRED else Kind.NOT_POSSIBLE
