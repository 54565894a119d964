"""What desk users did, and what was done to their accounts: the events in the table ``desk_events``."""

from enum import StrEnum


class DeskEvent(StrEnum):
    """An event about a desk user, in the past tense. No event contains a password, a code or a token."""

    USER_ADDED = "user_added"
    USER_INVITED = "user_invited"
    INVITATION_ACCEPTED = "invitation_accepted"
    USER_REMOVED = "user_removed"
    ROLES_CHANGED = "roles_changed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # the name of an event
    TOTP_SET = "totp_set"
    TOTP_REMOVED = "totp_removed"
    RECOVERY_CODE_USED = "recovery_code_used"
    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGNED_OUT = "signed_out"
    SESSION_ENDED = "session_ended"
    TASK_SNOOZED = "task_snoozed"
