"""The pages about one case: confirm, keep and status. Their links are signed, each for its one purpose.

Whatever moves a case needs the confirm link, which only the purchase's own address was sent, and a box that is ticked by
hand: mail scanners open links, and some press buttons. The status link is forwarded more freely and moves nothing.
Two tabs, the back button and a double click meet the case as it is by then: what was said before is not said again, and
the page leads to the status.
"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from config.signed_links import Links, Purpose
from domain.errors import NotPossibleError
from domain.states import State
from producers import intake
from producers.web.dependencies import TheLinks, ThePaper, TheRecords
from producers.web.pages import case_copy, case_status, forms
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import SEEN, Page
from records import Records
from records.case_views import CaseView

casepages = APIRouter(include_in_schema=False)

Sure = Annotated[bool, Depends(forms.ticked)]


@casepages.api_route("/confirm/{token}", methods=SEEN)
def ask(token: str, paper: ThePaper, records: TheRecords, links: TheLinks) -> Response:
    """Shows what is about to be refunded. Looking changes nothing: mail scanners open every link."""
    return _asked("confirm.html", token, paper, records, links)


@casepages.post("/confirm/{token}")
def confirm(token: str, sure: Sure, paper: ThePaper, records: TheRecords, links: TheLinks) -> Response:
    """The customer says yes."""
    if not sure:
        return _asked("confirm.html", token, paper, records, links, unsure=True)
    case = _case(links, Purpose.CONFIRM, token)
    try:
        intake.confirm(records, case)
    except NotPossibleError as error:
        return _too_late(_view(records, case), str(error), paper, links)
    return RedirectResponse(paper.to(_status(links, case)), 303)


@casepages.api_route("/confirm/{token}/withdraw", methods=SEEN)
def doubt(token: str, paper: ThePaper, records: TheRecords, links: TheLinks) -> Response:
    """Shows what is about to be kept. Looking changes nothing here either."""
    return _asked("cancel_request.html", token, paper, records, links)


@casepages.post("/confirm/{token}/withdraw")
def withdraw(token: str, sure: Sure, paper: ThePaper, records: TheRecords, links: TheLinks) -> Response:
    """The customer does not want the refund after all."""
    if not sure:
        return _asked("cancel_request.html", token, paper, records, links, unsure=True)
    case = _case(links, Purpose.CONFIRM, token)
    try:
        intake.cancel(records, case)
    except NotPossibleError as error:
        view = _view(records, case)
        if view.state is not State.CANCELLED:
            return _too_late(view, str(error), paper, links)
    return RedirectResponse(paper.to(_status(links, case)), 303)


@casepages.api_route("/status/{token}", methods=SEEN)
def status(token: str, paper: ThePaper, records: TheRecords, links: TheLinks) -> Response:
    """Where a case stands, why, and how it came there."""
    return _standing("status.html", token, paper, records, links)


@casepages.api_route("/status/{token}/news", methods=SEEN)
def news(token: str, paper: ThePaper, records: TheRecords, links: TheLinks, seen: int = 0) -> Response:
    """What the status page asks for while something moves: nothing, as long as nothing has."""
    case = _case(links, Purpose.STATUS, token)
    with records.work() as work:
        history = work.history.for_case(case)
    if history and history[-1].seq == seen:
        return Response(status_code=204)
    return _standing("case_status.html", token, paper, records, links)


def _standing(template: str, token: str, paper: Page, records: Records, links: Links) -> Response:
    case = _case(links, Purpose.STATUS, token)
    with records.work() as work:
        view = work.case_views.get(case)
        history = work.history.for_case(case)
    if view is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    paper = paper.speaking(view.locale)
    pause = case_status.refresh_interval(view, history)
    return paper.render(
        template,
        alone=template == "case_status.html",
        view=view,
        zone=case_copy.zone_of(view),
        standing=case_status.headline(view, history),
        expected=case_status.expected_arrival_day(view),
        refund=case_status.refund_of(view, history),
        bank_reference=case_status.bank_reference_of(view, history),
        reasons=case_copy.sentences_for_customer(view.reasons) if view.state is State.WITH_SUPPORT else [],
        timeline=case_copy.timeline(history),
        amount=case_copy.amount_of(view, paper.translator),
        shows_purchase=case_copy.shows_purchase(view),
        may_withdraw=view.state is State.AWAITING_CONFIRMATION,
        again=case_status.again(view),
        pause=pause,
        seen=history[-1].seq,
        address=f"/status/{token}",
    )


def _asked(template: str, token: str, paper: Page, records: Records, links: Links, *, unsure: bool = False) -> Response:
    """The question that a confirm link is for; once it was answered, where the case stands."""
    view = _view(records, _case(links, Purpose.CONFIRM, token))
    if view.state is State.EXPIRED:
        standing = case_copy.HEADLINES[view.state]
        return _too_late(view, standing.sentence, paper, links)
    if view.state is not State.AWAITING_CONFIRMATION:
        return RedirectResponse(paper.to(_status(links, view.id)), 303)
    paper = paper.speaking(view.locale)
    return paper.render(
        template,
        status=ProblemCode.VALIDATION_FAILED.status if unsure else 200,
        view=view,
        zone=case_copy.zone_of(view),
        amount=case_copy.amount_of(view, paper.translator),
        token=token,
        unsure=unsure,
    )


def _too_late(view: CaseView, sentence: str, paper: Page, links: Links) -> Response:
    """What was asked for cannot be done any more: why, and what can."""
    paper = paper.speaking(view.locale)
    return paper.render(
        "not_possible.html",
        status=(ProblemCode.LINK_EXPIRED if view.state is State.EXPIRED else ProblemCode.NO_LONGER_POSSIBLE).status,
        view=view,
        zone=case_copy.zone_of(view),
        heading=paper.translator.gettext(case_copy.HEADLINES[view.state].heading),
        sentence=paper.translator.gettext(sentence),
        again=case_status.again(view),
        status_page=_status(links, view.id),
    )


def _case(links: Links, purpose: Purpose, token: str) -> UUID:
    try:
        return links.read(purpose, token)
    except NotPossibleError as error:
        raise ProblemError(ProblemCode.NOT_FOUND, str(error)) from None


def _view(records: Records, case: UUID) -> CaseView:
    with records.work() as work:
        view = work.case_views.get(case)
    if view is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    return view


def _status(links: Links, case: UUID) -> str:
    """The status page on the host that was asked, whatever the letters call it."""
    return f"/status/{links.to(Purpose.STATUS, case).rpartition('/')[2]}"
