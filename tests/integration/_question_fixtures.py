"""Cases with a question of support, and what the customer answered."""

from uuid import UUID, uuid4

from domain.purchases import Purchase
from domain.states import State
from domain.support_decisions import Approve, Ask, Close, DecidedBy, DecisionAction, Decline, RefundedElsewhere
from producers import decisions
from producers.decisions import Submission
from records import Records
from records.case_views import CaseView
from tests.integration._web_fixtures import a_case

QUESTION = "Which of the two licences do you mean?"
CLARA = DecidedBy(id="user:clara", name="Clara")


def decide(records: Records, case: UUID, decision: Approve | Ask | Decline | Close | RefundedElsewhere) -> None:
    """Let Clara decide about a case."""
    with records.work() as work:
        revision = str(work.support_decisions.revisions([case])[case])
    submission = Submission(
        case_id=case, decision=decision, revision=revision, source="desk", key=uuid4().hex, by=CLARA
    )
    decisions.decide(records, submission)


def ask(records: Records, case: UUID, message: str = QUESTION) -> UUID:
    """Ask the customer a question about a case, and return the id of the case."""
    decide(records, case, Ask(action=DecisionAction.ASK, message=message))
    return case


def close(records: Records, case: UUID) -> None:
    decide(records, case, Close(action=DecisionAction.CLOSE, reason="Spam."))


def a_case_with_question(records: Records, purchase: Purchase | None = None) -> UUID:
    """Store a case that is with support, and ask its customer a question."""
    return ask(records, a_case(records, State.WITH_SUPPORT, purchase=purchase))


def answers(records: Records, case: UUID) -> list[tuple[str, str]]:
    """Return the channel and the text of each answer about a case."""
    with records.work() as work:
        return [(answer.channel, answer.text) for answer in work.support_decisions.answers(case)]


def view_of(records: Records, case: UUID) -> CaseView:
    with records.work() as work:
        view = work.case_views.get(case)
    assert view
    return view


def round_emails(records: Records, case: UUID) -> list[str]:
    """Return the kinds of the e-mails about a case since support asked its first question."""
    with records.work() as work:
        rows = work.run(
            "select kind from case_emails where case_id = :case and decided_seq > 0 order by decided_seq", case=case
        )
        return list(rows.scalars())
