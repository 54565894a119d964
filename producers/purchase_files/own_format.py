"""Our own format: the fields of a purchase as in the HTTP API.

In CSV, the private details have columns ``details.…``, and a cell of the column ``items`` contains JSON.
"""

from producers.purchase_files.amounts import Units
from producers.purchase_files.dialect import Dialect

DETAILS = "details."
"""The prefix of the columns with private details of a purchase."""

FIELDS = (
    "seller", "reference", "email", "product", "amount", "currency", "method", "provider", "charge", "instrument", "purchased_at",
    "charged_at", "renewal", "consumer", "refunded", "dispute", "tax", "items", "correct",
    "duplicate",
    "details.licence_key", "details.activation_code", "details.download_url",
    "details.invoice_number", "details.invoice_url", "details.technical_support", "details.subscription",
)  # fmt: skip
"""The columns of a CSV file."""

JSON_FIELDS = frozenset(name for name in FIELDS if not name.startswith(DETAILS)) | {"details", "payments"}
"""The fields of an object in a JSON Lines file."""

DIALECT = Dialect(
    title="our own format",
    columns={name: (name,) for name in FIELDS},
    needed=("seller", "reference"),
    units=Units.MINOR_OR_DECIMAL,
    knows_all_columns=True,
)

MAPPED = Dialect(
    title="the options --map",
    columns={name: (name,) for name in FIELDS},
    needed=("seller", "reference", "email", "amount", "currency", "method", "provider", "charge", "purchased_at"),
    units=Units.NEEDS_DECIMALS,
)
"""Any other file. A new purchase needs these fields, and a product."""
