"""The pages of a case: confirm the refund, cancel the request, and see the status.

Every link is signed for one purpose. A customer can start a refund only with the confirmation link, which is sent only to
the address of the purchase. The customer must also tick a box, because mail scanners open links, and some scanners press
buttons. Customers often forward the status link, so the status link changes nothing.

If the customer goes back, clicks twice or opens a second tab, the page shows the current state of the case. If an action was
already done, it is not repeated, and the customer is redirected to the status page.
"""

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from config.signed_links import Links, Purpose
from domain.case_payments import destination, is_second_charge
from domain.errors import NotPossibleError
from domain.states import State
from producers import intake
from producers.web.dependencies import LinksDep, PageDep, RecordsDep
from producers.web.pages import case_copy, case_status
from producers.web.pages.forms import CheckboxDep, ConfirmationDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, Page
from records import Records
from records.case_views import CaseView

router = APIRouter(include_in_schema=False)


@router.api_route("/confirm/{token}", methods=READ_METHODS)
def show_confirmation(token: str, page: PageDep, records: RecordsDep, links: LinksDep) -> Response:
    """Show what will be refunded. GET changes nothing, because mail scanners open every link."""
    return _render_question("confirm.html", token, page, records, links)


@router.post("/confirm/{token}")
def confirm(token: str, form: ConfirmationDep, page: PageDep, records: RecordsDep, links: LinksDep) -> Response:
    """Confirm the refund that the page showed. If the case was evaluated again since then, ask again."""
    if not form.is_ticked:
        return _render_question("confirm.html", token, page, records, links, is_unticked=True)
    case_id = read_link(links, Purpose.CONFIRM, token)
    try:
        intake.confirm(records, case_id, seq=form.seq)
    except intake.OutdatedPageError:
        return _render_question("confirm.html", token, page, records, links, is_outdated=True)
    except NotPossibleError as error:
        return _render_not_possible(get_view(records, case_id), str(error), page, links)
    return RedirectResponse(page.to(status_path(links, case_id)), 303)


@router.api_route("/confirm/{token}/cancel", methods=READ_METHODS)
def show_cancellation(token: str, page: PageDep, records: RecordsDep, links: LinksDep) -> Response:
    """Ask whether the customer wants to cancel the request. GET changes nothing."""
    return _render_question("cancel_request.html", token, page, records, links)


@router.post("/confirm/{token}/cancel")
def cancel(token: str, is_ticked: CheckboxDep, page: PageDep, records: RecordsDep, links: LinksDep) -> Response:
    """Cancel the refund request."""
    if not is_ticked:
        return _render_question("cancel_request.html", token, page, records, links, is_unticked=True)
    case_id = read_link(links, Purpose.CONFIRM, token)
    try:
        intake.cancel(records, case_id)
    except NotPossibleError as error:
        view = get_view(records, case_id)
        if view.state is not State.CANCELLED:
            return _render_not_possible(view, str(error), page, links)
    return RedirectResponse(page.to(status_path(links, case_id)), 303)


@router.api_route("/status/{token}", methods=READ_METHODS)
def show_status(token: str, page: PageDep, records: RecordsDep, links: LinksDep) -> Response:
    """Show the state of a case, the reasons for the state, and the timeline."""
    return _render_status("status.html", token, page, records, links)


@router.api_route("/status/{token}/news", methods=READ_METHODS)
def show_news(token: str, page: PageDep, records: RecordsDep, links: LinksDep, last_seq: int = 0) -> Response:
    """Return the new content of the status page. If ``last_seq`` is the number of the newest transition, return 204."""
    case_id = read_link(links, Purpose.STATUS, token)
    with records.work() as work:
        history = work.history.for_case(case_id)
    if history and history[-1].seq == last_seq:
        return Response(status_code=204)
    return _render_status("case_status.html", token, page, records, links)


def _render_status(template: str, token: str, page: Page, records: Records, links: Links) -> Response:
    case_id = read_link(links, Purpose.STATUS, token)
    with records.work() as work:
        # The history is read first. If the state changed in between, the browser asks again for what is new since the history.
        history = work.history.for_case(case_id)
        view = work.case_views.get(case_id)
    if view is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    page = page.for_locale(view.locale)
    if view.forgotten_at:
        return page.render(
            "problem.html",
            status=ProblemCode.LINK_EXPIRED.status,
            title=page.translator.gettext(case_status.FORGOTTEN.heading),
            sentence=page.translator.gettext(case_status.FORGOTTEN.sentence),
        )
    return page.render(
        template,
        is_fragment=template == "case_status.html",
        view=view,
        zone=case_copy.zone_of(view),
        headline=case_status.headline(view, history),
        provider=case_status.provider_name(view),
        expected_arrival=case_status.expected_arrival_day(view),
        answer_time=case_status.answer_time(view, page.translator),
        refund_id=case_status.refund_id(view, history),
        bank_reference=case_status.bank_reference(view, history),
        reasons=case_copy.sentences_for_customer(view.reasons) if view.state is State.WITH_SUPPORT else [],
        timeline=case_copy.timeline(history),
        amount=case_copy.amount_of(view, page.translator),
        paid_amount=case_copy.paid_amount_of(view, page.translator),
        payments=case_copy.payment_lines(view, page.translator),
        shows_purchase=case_copy.shows_purchase(view),
        can_cancel=view.state is State.AWAITING_CONFIRMATION,
        can_request_again=case_status.can_request_again(view),
        refresh_seconds=case_status.refresh_interval(view, history),
        last_seq=history[-1].seq,
        status_path=f"/status/{token}",
    )


def _render_question(
    template: str,
    token: str,
    page: Page,
    records: Records,
    links: Links,
    *,
    is_unticked: bool = False,
    is_outdated: bool = False,
) -> Response:
    """Return the page that asks the customer to confirm or cancel.

    If the customer has already answered, redirect to the status page. If the link has expired, return a page
    that explains why the action is no longer possible.
    """
    case_id = read_link(links, Purpose.CONFIRM, token)
    with records.work() as work:  # the number is read first, so that it is never newer than what the page shows
        history = work.history.for_case(case_id)
    view = get_view(records, case_id)
    if view.state is State.EXPIRED:
        return _render_not_possible(view, case_copy.HEADLINES[view.state].sentence, page, links)
    if view.state is not State.AWAITING_CONFIRMATION:
        return RedirectResponse(page.to(status_path(links, view.id)), 303)
    page = page.for_locale(view.locale)
    return page.render(
        template,
        status=_question_status(is_unticked=is_unticked, is_outdated=is_outdated),
        view=view,
        zone=case_copy.zone_of(view),
        amount=case_copy.amount_of(view, page.translator),
        payments=case_copy.payment_lines(view, page.translator),
        destination=destination(view.payments).sentence,
        is_second_charge=is_second_charge(view.payments),
        token=token,
        seq=history[-1].seq,
        is_unticked=is_unticked,
        is_outdated=is_outdated,
    )


def _question_status(*, is_unticked: bool, is_outdated: bool) -> int:
    """Return the HTTP status of a question: it is asked for the first time, or again because of the answer."""
    if is_unticked:
        return ProblemCode.VALIDATION_FAILED.status
    return ProblemCode.NO_LONGER_POSSIBLE.status if is_outdated else 200


def _render_not_possible(view: CaseView, sentence: str, page: Page, links: Links) -> Response:
    """Return the page that says why an action is no longer possible, and what the customer can do."""
    page = page.for_locale(view.locale)
    return page.render(
        "not_possible.html",
        status=(ProblemCode.LINK_EXPIRED if view.state is State.EXPIRED else ProblemCode.NO_LONGER_POSSIBLE).status,
        view=view,
        zone=case_copy.zone_of(view),
        heading=page.translator.gettext(case_copy.HEADLINES[view.state].heading),
        sentence=page.translator.gettext(sentence),
        can_request_again=case_status.can_request_again(view),
        status_path=status_path(links, view.id),
    )


def read_link(links: Links, purpose: Purpose, token: str) -> UUID:
    """Return the id of the case from the token of a link."""
    try:
        return links.read(purpose, token)
    except NotPossibleError as error:
        raise ProblemError(ProblemCode.NOT_FOUND, str(error)) from None


def get_view(records: Records, case_id: UUID) -> CaseView:
    with records.work() as work:
        view = work.case_views.get(case_id)
    if view is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    return view


def status_path(links: Links, case_id: UUID) -> str:
    """Return the path of the status page. The path contains no host, so a redirect stays on the host of the request."""
    return f"/status/{links.to(Purpose.STATUS, case_id).rpartition('/')[2]}"
