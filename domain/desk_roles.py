"""The roles of desk users, and the permissions of each role."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Permission(StrEnum):
    """What a desk user may do, for one seller or for all sellers."""

    READ_CASES = "read_cases"
    """Read support tasks, flagged e-mails, and cases with their history. Without this permission, a case does not exist."""
    DECIDE = "decide"
    """Decide a case. Above the seller's limit, the decision waits until another user confirms it."""
    CONFIRM_DECISIONS = "confirm_decisions"
    """Confirm a decision of another desk user above the seller's limit."""
    MANAGE_USERS = "manage_users"
    """Invite desk users, change their roles, and end their sessions."""
    MANAGE_MACROS = "manage_macros"
    """Change the seller's macros."""
    READ_REPORTS = "read_reports"
    """Read the reports about cases and decisions."""
    READ_EVENTS = "read_events"
    """Read what desk users did: the table ``desk_events``."""


class Role(StrEnum):
    """A role of a desk user. A user has a role for one seller, or for all sellers."""

    AGENT = "agent"
    """Decides cases."""
    LEAD = "lead"
    """Decides cases, and confirms decisions of others above the seller's limit."""
    SELLER_ADMIN = "seller_admin"
    """Manages the seller's users and macros, and decides nothing."""
    AUDITOR = "auditor"
    """Reads everything, and changes nothing."""


_P = Permission
PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.AGENT: frozenset({_P.READ_CASES, _P.DECIDE}),
        Role.LEAD: frozenset({_P.READ_CASES, _P.DECIDE, _P.CONFIRM_DECISIONS, _P.READ_REPORTS}),
        Role.SELLER_ADMIN: frozenset(
            {_P.READ_CASES, _P.MANAGE_USERS, _P.MANAGE_MACROS, _P.READ_REPORTS, _P.READ_EVENTS}
        ),
        Role.AUDITOR: frozenset({_P.READ_CASES, _P.READ_REPORTS, _P.READ_EVENTS}),
    }
)
"""The permissions of each role. This table is the only place that gives permissions."""

TOTP_ROLES = frozenset({Role.LEAD, Role.SELLER_ADMIN})
"""The roles that need a second factor if the settings require it: they move more money, or give roles to others."""
