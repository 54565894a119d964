"""Reads the decision form of the desk, and writes what an agent typed as a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from domain.errors import NotPossibleError
from domain.money import Money, UnknownMoneyError
from domain.support_decisions import Decision, DecisionAction
from producers.web.validation_errors import error_message

_DECISION: TypeAdapter[Any] = TypeAdapter(Decision)

CHOICES: Mapping[str, str] = {
    "full": "Approve in full",
    "partial": "Approve a part",
    "vat": "Refund the tax",
    "decline": "Decline",
    "ask": "Ask the customer",
    "refunded_elsewhere": "It was refunded elsewhere",
    "record_outcome": "Record what became of the unknown refund",
    "rematch": "It is about another purchase",
    "close": "Close without an email",
}
"""The choices of the form, in the order in which the page shows them."""

APPROVALS = ("full", "partial", "vat")
"""The choices that approve a refund."""
_ITEM, _OVERRULES = "item.", "overrule."
TEXTS = ("choice", "amount", "reference", "was_made", "refund_id", "message", "reason")
"""The fields of the form that a draft keeps, without the quantities of items and the rules."""


@dataclass(frozen=True, slots=True)
class DecisionForm:
    """What the agent typed, and what is wrong with it."""

    values: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    """What is wrong with the form as a whole."""
    status: int = 200
    is_preview: bool = False
    """True if the agent asked for the e-mail before the decision."""

    def value(self, name: str) -> str:
        """Return what was typed into a field."""
        return self.values.get(name, "")

    def quantity(self, item: str) -> str:
        """Return the typed quantity of an item."""
        return self.values.get(f"{_ITEM}{item}", "")


def action_of(choice: str) -> DecisionAction:
    """Return the decision that a choice makes."""
    return DecisionAction.APPROVE if choice in APPROVALS else DecisionAction(choice)


def drafted(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that are kept as a draft."""
    return {name: value for name, value in fields.items() if value and (name in TEXTS or name.startswith(_ITEM))}


def read(fields: Mapping[str, str], currency: str | None) -> Any:  # noqa: ANN401  # the union of the decisions
    """Return the decision in these fields. Raise NotPossibleError with a sentence if a field is missing or wrong."""
    choice = fields.get("choice", "")
    if choice not in CHOICES:
        raise NotPossibleError("Choose what to do.")
    document = _approval(choice, fields, currency) if choice in APPROVALS else {"action": choice}
    if choice == "refunded_elsewhere" and (typed := fields.get("amount", "").strip()):
        document |= _amount(typed, currency)
    for name, is_wanted in _WANTED.items():
        if choice in is_wanted and (value := fields.get(name, "").strip()):
            document[name] = value
    if choice in {"decline", "ask"} and "message" not in document:
        raise NotPossibleError("Write what the customer should read.")
    if choice == "record_outcome" and "was_made" not in document:
        raise NotPossibleError("Choose whether the payment provider made the refund.")
    try:
        return _DECISION.validate_python(document)
    except ValidationError as error:
        raise NotPossibleError(_sentence(error)) from None


_WANTED: Mapping[str, tuple[str, ...]] = {
    "message": (*APPROVALS, "decline", "ask", "refunded_elsewhere"),
    "reason": (*APPROVALS, "refunded_elsewhere", "record_outcome", "rematch", "close"),
    "was_made": ("record_outcome",),
    "refund_id": ("record_outcome",),
    "reference": ("rematch",),
}
"""The choices in which each text counts. A text that the agent typed for another choice is left out."""


def _approval(choice: str, fields: Mapping[str, str], currency: str | None) -> dict[str, Any]:
    refund: dict[str, Any] = {"scope": choice}
    items = [
        {"id": name.removeprefix(_ITEM), "quantity": value.strip()}
        for name, value in fields.items()
        if name.startswith(_ITEM) and value.strip() not in {"", "0"}
    ]
    if choice == "partial" and items:
        if fields.get("amount", "").strip():
            raise NotPossibleError("Enter the amount to refund, or the quantity of an item, but not both.")
        refund["items"] = items
    elif choice != "full" and (typed := fields.get("amount", "").strip()):
        refund |= _amount(typed, currency)
    elif choice == "partial":
        raise NotPossibleError("Enter the amount to refund, or the quantity of an item.")
    overruled = [
        name.removeprefix(_OVERRULES) for name, value in fields.items() if name.startswith(_OVERRULES) and value
    ]
    return {"action": "approve", "refund": refund, "overrules": overruled}


def _amount(typed: str, currency: str | None) -> dict[str, Any]:
    if currency is None:
        raise NotPossibleError("The payments have no common currency, so an amount cannot be refunded here.")
    try:
        money = Money.parse(typed.replace(",", "."), currency)
    except UnknownMoneyError:
        raise NotPossibleError(f"Enter the amount in {currency}, such as 19.99.") from None
    return {"amount": money.minor, "currency": currency}


def _sentence(error: ValidationError) -> str:
    """Return the first error as a sentence for the agent."""
    first = error.errors()[0]
    if first["type"] == "missing" and first["loc"][-1] == "reason":
        return "Write the reason. The customer does not read it."
    if first["type"] == "missing" and first["loc"][-1] == "reference":
        return "Enter the reference of the right purchase."
    return error_message(first)
