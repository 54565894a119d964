"""A user of the desk with roles, and what the user may do for which seller."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from domain.desk_roles import PERMISSIONS, TOTP_ROLES, Permission, Role


@dataclass(frozen=True, slots=True, order=True)
class RoleGrant:
    """A role for one seller. If ``seller_id`` is empty, the role is for all sellers, and for cases without a seller."""

    role: Role
    seller_id: str = ""


@dataclass(frozen=True, slots=True)
class DeskUser:
    """A user of the desk. ``grants`` are the user's roles, each for one seller or for all sellers."""

    id: UUID
    email: str
    name: str
    grants: frozenset[RoleGrant]

    def may(self, permission: Permission, seller_id: str | None) -> bool:
        """Return whether the user has this permission for the seller. None means a case without a seller.

        Only a role for all sellers covers a case without a seller, because any seller's data may be in such a case.
        """
        return any(grant.seller_id in {"", seller_id} for grant in self._grants_with(permission))

    def may_for_any_seller(self, permission: Permission) -> bool:
        """Return whether the user has this permission for at least one seller."""
        return any(True for _ in self._grants_with(permission))

    def sellers(self, permission: Permission) -> frozenset[str] | None:
        """Return the sellers for whom the user has this permission. None means all sellers, and cases without a seller."""
        sellers = frozenset(grant.seller_id for grant in self._grants_with(permission))
        return None if "" in sellers else sellers

    def roles(self, seller_id: str | None) -> frozenset[Role]:
        """Return the user's roles for this seller, including the roles for all sellers."""
        return frozenset(grant.role for grant in self.grants if grant.seller_id in {"", seller_id})

    @property
    def needs_totp(self) -> bool:
        """True if a role of the user needs a second factor in installations that require it."""
        return any(grant.role in TOTP_ROLES for grant in self.grants)

    def may_grant(self, grants: Iterable[RoleGrant]) -> bool:
        """Return whether the user may give or take all these roles, which needs MANAGE_USERS for the seller of each role."""
        return all(self.may(Permission.MANAGE_USERS, grant.seller_id or None) for grant in grants)

    def _grants_with(self, permission: Permission) -> Collection[RoleGrant]:
        return [grant for grant in self.grants if permission in PERMISSIONS[grant.role]]
