"""Store the storefront of each seller: its colour, its website and the contact for technical support."""

from dataclasses import dataclass

from records.transaction import Transaction

_UPSERT = """
insert into storefronts (seller_id, colour, website, technical_support)
values (:seller_id, :colour, :website, :technical_support)
on conflict (seller_id) do update set
  colour = excluded.colour, website = excluded.website, technical_support = excluded.technical_support
"""

_SELECT = """
select s.id as seller, s.name, s.support_email, f.colour, f.website, f.technical_support
  from sellers s left join storefronts f on f.seller_id = s.id where s.id = :seller_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storefront:
    """What customers see of a seller: name, contacts and colour."""

    seller: str
    name: str
    support_email: str
    colour: str | None
    """A colour such as ``#1a2b3c``."""
    website: str | None
    technical_support: str | None
    """An e-mail address or a URL."""


class Storefronts:
    """The table ``storefronts``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def get(self, seller: str) -> Storefront | None:
        """Return the storefront of a seller, or None if the seller is unknown. Fields that are not set are None."""
        row = self._work.run(_SELECT, seller_id=seller).one_or_none()
        return None if row is None else Storefront(**row._asdict())

    def upsert(self, storefront: Storefront) -> None:
        """Store the colour, website and technical support of a seller."""
        self._work.run(
            _UPSERT,
            seller_id=storefront.seller,
            colour=storefront.colour,
            website=storefront.website,
            technical_support=storefront.technical_support,
        )
