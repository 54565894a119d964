"""Makes the decisions that agents make in helpdesks, each in the name of the desk user with the agent's e-mail address."""

from typing import Any

from pydantic import TypeAdapter

from domain.desk_roles import Permission
from domain.errors import NotFoundError, NotPossibleError
from domain.reason_codes import ReasonCode
from domain.support_decisions import OVERRULABLE, DecidedBy, Decision
from producers import decisions
from producers.helpdesk_events import HelpdeskDecision
from records import Records
from records.case_views import CaseView

_DECISION: TypeAdapter[Any] = TypeAdapter(Decision)
_CODES = {code.value: code for code in ReasonCode}


def decide(records: Records, made: HelpdeskDecision) -> None:
    """Make the decision as the desk user with the agent's address, under the same limits as on the desk.

    Raise NotPossibleError if there is no such user, or the user may not decide the cases of the seller. The other errors are
    those of ``decisions.decide``.
    """
    with records.work() as work:
        view = work.case_views.get(made.case_id)
        known = work.desk_users.find(made.agent_email)
    if view is None:
        raise NotFoundError("There is no case with this id.")
    if known is None or not known.user.may(Permission.DECIDE, view.seller):
        raise NotPossibleError(
            f"No user of the desk with the address {made.agent_email} may decide the cases of this seller. Add the user with "
            "`moneyback users add`."
        )
    submission = decisions.Submission(
        case_id=made.case_id,
        decision=_DECISION.validate_python(_document(made, view)),
        revision=made.revision,
        source=made.source,
        key=made.key,
        by=DecidedBy(id=f"user:{known.user.id}", name=known.user.name),
    )
    decisions.decide(records, submission)


def _document(made: HelpdeskDecision, view: CaseView) -> dict[str, object]:
    """Return the decision as a document. An approval overrules the rules that the ticket names as the reasons."""
    if made.action == "decline":
        if not made.message:
            raise NotPossibleError("A declined ticket needs the text that the customer reads. Set it for the helpdesk.")
        return {"action": "decline", "message": made.message}
    reason = f"{made.agent_name} closed the ticket of {made.source.removeprefix('helpdesk:')}."
    if made.action == "close":
        return {"action": "close", "reason": reason}
    codes = [code for item in view.reasons if (code := _CODES.get(item["code"])) in OVERRULABLE]
    return {"action": "approve", "refund": {"scope": "full"}, "overrules": codes, "reason": reason}
