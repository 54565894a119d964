"""Shopfronts: a seller's own face, and who helps with its products."""

from dataclasses import dataclass

from records.transaction import Transaction

_PUT = """
insert into storefronts (seller, colour, website, technical_support)
values (:seller, :colour, :website, :technical_support)
on conflict (seller) do update set
  colour = excluded.colour, website = excluded.website, technical_support = excluded.technical_support
"""

_ONE = """
select s.id as seller, s.name, s.support_email, f.colour, f.website, f.technical_support
  from sellers s left join storefronts f on f.seller = s.id where s.id = :seller
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storefront:
    """What customers see of a seller."""

    seller: str
    name: str
    support_email: str
    colour: str | None
    """As ``#1a2b3c``."""
    website: str | None
    technical_support: str | None
    """An address or a URL."""


class Storefronts:
    """The shopfronts table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def get(self, seller: str) -> Storefront | None:
        """A seller's shopfront; one that never set up any has a plain one."""
        row = self._work.run(_ONE, seller=seller).one_or_none()
        return None if row is None else Storefront(**row._asdict())

    def upsert(self, front: Storefront) -> None:
        """Sets a seller's colour, website and technical support; name and support address are the seller's own."""
        self._work.run(
            _PUT,
            seller=front.seller,
            colour=front.colour,
            website=front.website,
            technical_support=front.technical_support,
        )
