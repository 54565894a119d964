"""The page on which a customer answers a question of support. Only the e-mail with the question contains its signed link.

A link works for the whole case: the page shows the question that is open now. If no question is open, the page says so. The
page never discards what the customer typed.
"""

from collections.abc import Mapping
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from config.signed_links import Links, Purpose
from domain.errors import NotFoundError, NotPossibleError, OutdatedError
from domain.refund_situations import Situation
from domain.requests import Channel
from domain.support_decisions import Answer
from producers import decisions
from producers.decisions import AnswerSubmission
from producers.web import rate_limits
from producers.web.dependencies import LinksDep, PageDep, RecordsDep
from producers.web.pages import case_copy, forms
from producers.web.pages.case import get_view, read_link, status_path
from producers.web.pages.forms import FieldError, FormFieldsDep, SubmittedForm
from producers.web.problems import DATABASE_RETRY_AFTER, ProblemCode, ProblemError
from producers.web.rate_limits import RateLimitedError
from producers.web.templating import READ_METHODS, Page
from records import DatabaseDownError, Records
from records.case_views import CaseView

FIELDS: Final = ("text",)

QUESTION_CHANGED: Final = (
    "Our support team has asked you another question since you opened this page. Check your answer and send it again."
)
RATE_LIMITED: Final = (
    "You’ve sent this form several times in a short time. Please wait about an hour, then send it again."
)
DATABASE_DOWN: Final = (
    "Something went wrong on our side, so your answer wasn’t sent. Please try again in a minute. Your answer counts only "
    "once, even if you send it twice."
)
ANSWERED: Final = (
    "You’ve already answered",
    "Our support team has your answer and will email you. To add something, reply to one of our emails.",
)
NOT_NEEDED: Final = (
    "We no longer need an answer",
    "Our support team isn’t waiting for an answer from you any more. The status page shows what happens with your request.",
)
NOT_SENT: Final = (
    "Your answer wasn’t sent",
    "Our support team is no longer reviewing this request. If your answer is important, please contact support.",
)
"""Headings and sentences of the page if no question is open, or if the case is no longer with support."""

router = APIRouter(include_in_schema=False)


async def find_reached_limit(request: Request) -> RateLimitedError | None:
    """Count a submitted form, and return the error if a rate limit was reached."""
    try:
        await rate_limits.limit_forms(request)
    except RateLimitedError as error:
        return error
    return None


ReachedLimitDep = Annotated[RateLimitedError | None, Depends(find_reached_limit)]


@router.api_route("/answer/{token}", methods=READ_METHODS)
def show_form(token: str, page: PageDep, records: RecordsDep, links: LinksDep) -> Response:
    """Show the question. GET changes nothing, because mail scanners open every link."""
    case_id = read_link(links, Purpose.ANSWER, token)
    return _render(page, records, links, case_id, SubmittedForm({"text": ""}, forms.new_nonce()))


@router.post("/answer/{token}")
def submit_form(
    token: str, fields: FormFieldsDep, limit: ReachedLimitDep, page: PageDep, records: RecordsDep, links: LinksDep
) -> Response:
    """Store the answer. If the form is sent twice, one answer is stored.

    A customer who has answered already can add something, because support reads all answers.
    """
    case_id = read_link(links, Purpose.ANSWER, token)
    values, nonce = {"text": fields.get("text", "")}, forms.nonce_of(fields)
    if limit:
        form = SubmittedForm(values, nonce, form_error=FieldError(RATE_LIMITED))
        return _render_without_question(page, form, ProblemCode.RATE_LIMITED, str(limit.seconds))
    parsed = forms.parse(Answer, values)
    form_error = forms.unknown_field_error(fields, (*FIELDS, "seq"))
    try:
        if form_error or not isinstance(parsed, Answer):
            form = SubmittedForm(values, nonce, forms.ordered_errors(parsed, FIELDS), form_error)
            return _render(page, records, links, case_id, form, ProblemCode.VALIDATION_FAILED)
        decisions.answer(
            records,
            AnswerSubmission(
                case_id=case_id,
                text=parsed.text,
                channel=Channel.WEB,
                source="web:answer",
                key=forms.idempotency_key(nonce, parsed),
                asked_seq=forms.seq_of(fields),
            ),
        )
    except DatabaseDownError:
        form = SubmittedForm(values, nonce, form_error=FieldError(DATABASE_DOWN))
        return _render_without_question(page, form, ProblemCode.SERVICE_UNAVAILABLE, DATABASE_RETRY_AFTER)
    except OutdatedError:
        form = SubmittedForm(values, nonce, form_error=FieldError(QUESTION_CHANGED))
        return _render(page, records, links, case_id, form, ProblemCode.NO_LONGER_POSSIBLE)
    except NotFoundError:
        raise ProblemError(ProblemCode.NOT_FOUND) from None
    except NotPossibleError:
        view, status = get_view(records, case_id), ProblemCode.NO_LONGER_POSSIBLE.status
        return _render_no_question(page, links, view, NOT_SENT, text=values["text"], status=status)
    return RedirectResponse(page.to(status_path(links, case_id)), 303)


def _render(
    page: Page,
    records: Records,
    links: Links,
    case_id: UUID,
    form: SubmittedForm,
    problem: ProblemCode | None = None,
) -> Response:
    """Return the page with the open question and the form, or a page that says that no question is open."""
    view = get_view(records, case_id)
    with records.work() as work:
        question = work.support_decisions.question(case_id)
    if question is None and not form.values["text"]:
        answered = view.situation is Situation.CUSTOMER_ANSWERED
        return _render_no_question(page, links, view, ANSWERED if answered else NOT_NEEDED)
    return page.for_locale(view.locale).render(
        "answer.html",
        status=problem.status if problem else 200,
        form=form,
        view=view,
        question=question,
        seq=view.decided_seq,
        shows_purchase=case_copy.shows_purchase(view),
    )


def _render_without_question(page: Page, form: SubmittedForm, problem: ProblemCode, retry_after: str) -> Response:
    """Return the form with what the customer typed. The question is not read: the database may be down or overloaded."""
    headers: Mapping[str, str] = {"retry-after": retry_after}
    return page.render(
        "answer.html",
        status=problem.status,
        headers=headers,
        form=form,
        view=None,
        question=None,
        seq=None,
        shows_purchase=False,
    )


def _render_no_question(
    page: Page, links: Links, view: CaseView, texts: tuple[str, str], *, text: str = "", status: int = 200
) -> Response:
    """Return the page that says why no answer is needed. ``text`` is what the customer typed, so that it can be copied."""
    page = page.for_locale(view.locale)
    heading, sentence = map(page.translator.gettext, texts)
    return page.render(
        "answer_not_needed.html",
        status=status,
        view=view,
        heading=heading,
        sentence=sentence,
        text=text,
        status_path=status_path(links, view.id),
    )
