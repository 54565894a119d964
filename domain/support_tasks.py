"""The kinds of support tasks. A support task that asks for a decision about a case has none of these kinds."""

from domain.sentence_enum import SentenceEnum


class SupportTaskKind(SentenceEnum):
    """A kind of support task, with the sentence that support reads.

    A support task that asks for a decision about a case has none of these kinds.
    """

    REFUND_AND_DISPUTE = (
        "refund_and_dispute",
        (
            "The customer disputed a payment that we have refunded or are refunding. Answer the dispute with this "
            "evidence."
        ),
    )
    INQUIRY = (
        "inquiry",
        "The customer's bank asks about this payment. Answer the inquiry before its deadline, or refund the payment.",
    )
    PAYMENT_OF_OTHER_SELLER = (
        "payment_of_other_seller",
        "Two sellers report a purchase with this payment. The payment belongs to the seller that reported it first.",
    )
    INSUFFICIENT_BALANCE = (
        "insufficient_balance",
        "The seller's balance at the payment provider is too low. Refunds wait until funds are added.",
    )
    INVALID_CREDENTIALS = (
        "invalid_credentials",
        "The payment provider rejects our credentials. Refunds wait until the credentials are corrected.",
    )
    MISSING_REFUND = (
        "missing_refund",
        "Our records show this refund as made, but the payment provider does not list it.",
    )
    UNEXPECTED_REFUND = (
        "unexpected_refund",
        "The payment provider lists a refund of this payment that we did not make.",
    )
    REFUNDED_TWICE = (
        "refunded_twice",
        (
            "Our refund of this payment was made, although support had refunded the payment at the payment provider. The "
            "customer has the money twice."
        ),
    )
    REFUND_AMOUNT_DIFFERS = (
        "refund_amount_differs",
        "The payment provider lists this refund with a different amount than we requested.",
    )
    REFUND_CURRENCY_DIFFERS = (
        "refund_currency_differs",
        "The payment provider lists this refund in a different currency than we requested.",
    )
    REFUND_STATE_DIFFERS = (
        "refund_state_differs",
        "The payment provider's status of this refund differs from ours.",
    )
    REFUND_LIST_INCOMPLETE = (
        "refund_list_incomplete",
        "The payment provider's list of refunds could not be read to the end. The rest was not compared today.",
    )
    WEBHOOK_EVENT_UNRESOLVED = (
        "webhook_event_unresolved",
        (
            "A webhook reported a refund or a dispute, but two days later the payment provider still did not show it. Check "
            "the provider's dashboard."
        ),
    )
    STATUTORY_WITHDRAWAL_UNPAID = (
        "statutory_withdrawal_unpaid",
        (
            "The customer declared a legal withdrawal, but did not confirm the refund. The withdrawal is valid: pay or "
            "answer within 14 days."
        ),
    )
    STATUTORY_WITHDRAWAL = (
        "statutory_withdrawal",
        (
            "The customer declared a legal withdrawal, and the case needs your decision. The withdrawal is valid: pay or "
            "answer within 14 days."
        ),
    )
    STATUTORY_WITHDRAWAL_UNMATCHED = (
        "statutory_withdrawal_unmatched",
        (
            "The customer declared a legal withdrawal, but no purchase matches. The withdrawal is valid nevertheless. "
            "Contact the customer."
        ),
    )
    FLAGGED_MAIL = (
        "flagged_mail",
        "An email of a customer was not answered, or says more than its request. Read the email on the desk.",
    )
    HELPDESK_REFUSED = (
        "helpdesk_refused",
        (
            "The helpdesk refuses our tickets. They wait until the cause is corrected. Run moneyback doctor, which says what "
            "to do."
        ),
    )
    HELPDESK_TICKET_UNKNOWN = (
        "helpdesk_ticket_unknown",
        (
            "It is unknown whether the helpdesk has a ticket for a support task. Search the helpdesk for the mark. If the "
            "ticket does not exist, run moneyback helpdesks create-again."
        ),
    )
    EMAIL_BOUNCED = (
        "email_bounced",
        "An email to this customer bounced, so the customer has not read it. Contact the customer another way.",
    )
