"""The interface of an adapter, the results that it returns, and tools for calls to a provider.

``time_limit`` and ``create_session`` give a call one deadline. ``CapabilityDefaults`` has the methods that not every provider
has.
"""

from domain.money import Money, UnknownMoneyError
from domain.providers import (
    AccessRight,
    Capabilities,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedDispute,
    ListedPurchase,
    ListedRefund,
    Lookup,
    LookupResult,
    NotFound,
    Paid,
    PaymentProvider,
    PaymentStatus,
    Pending,
    PollPlan,
    PurchasePage,
    RefundPage,
    RefundResult,
    RefundStatus,
    Route,
    Unknown,
    WaitingForApproval,
)
from domain.purchases import Dispute
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.deadline import create_session, time_limit
from worker.providers.disputes import select_deciding_dispute
from worker.providers.http_client import connection_failure, credentials_refused
from worker.providers.identifiers import is_identifier, parse_bank_reference
from worker.providers.minor_units import MinorUnits
from worker.providers.retry_after import retry_after

__all__ = [
    "AccessRight",
    "Capabilities",
    "CapabilityDefaults",
    "DeclineReason",
    "Declined",
    "Dispute",
    "DisputePage",
    "DisputeStatus",
    "ExternalRefund",
    "Failed",
    "ListedDispute",
    "ListedPurchase",
    "ListedRefund",
    "Lookup",
    "LookupResult",
    "MinorUnits",
    "Money",
    "NotFound",
    "Paid",
    "PaymentProvider",
    "PaymentStatus",
    "Pending",
    "PollPlan",
    "PurchasePage",
    "RefundPage",
    "RefundResult",
    "RefundStatus",
    "Route",
    "Unknown",
    "UnknownMoneyError",
    "WaitingForApproval",
    "connection_failure",
    "create_session",
    "credentials_refused",
    "is_identifier",
    "parse_bank_reference",
    "retry_after",
    "select_deciding_dispute",
    "time_limit",
]
