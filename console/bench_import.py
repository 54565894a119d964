"""The benchmark of the import: a generated file of purchases is read, and then imported into a new database."""

import csv
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from config.settings import settings
from console.stack import Stack
from domain.policies import Category, Seller
from producers.never_automatic import NeverAutomatic
from producers.purchase_files.reader import Options, PurchaseFile
from producers.purchase_import import import_rows
from records import Records, migrate
from records.unit_of_work import connect

SELLER = Seller(
    id="aurora", name="Aurora Software", time_zone=ZoneInfo("Europe/Berlin"), support_email="help@aurora.example"
)
_KIBIBYTES = 1024 if sys.platform == "darwin" else 1  # the unit of ru_maxrss is 1 kB on Linux, and 1 byte on macOS
_HEADER = ("reference", "email", "product", "amount", "currency", "method", "provider", "charge", "purchased_at")


@dataclass(frozen=True)
class ImportBenchmarkResult:
    """The figures of an import. The memory is the peak of this process; PostgreSQL has its own memory."""

    rows: int
    rows_per_s: float
    rows_per_s_reading: float
    memory_mb: float
    memory_mb_before: float


def run(stack: Stack, number: int, report: Callable[[str], None]) -> ImportBenchmarkResult:
    """Generate a file with `number` purchases, read the file without a database, and then import it."""
    os.environ.update(stack.env)
    migrate.migrate(connect(stack.servers.postgres.owner_url))
    records = Records.of(settings())
    with records.work() as work:
        work.sellers.upsert(SELLER)
        work.sellers.new_policy(
            SELLER.id, Category.WITHIN_DAYS, days=30, in_force_from=datetime.now(UTC) - timedelta(days=999)
        )
        check = NeverAutomatic({"stripe"}, {SELLER.id: work.sellers.policies(SELLER.id)}).reason
    path = stack.data_dir.path / "purchases.csv"
    report(f"a file with {number} purchases")
    _write(path, number)
    before = _peak_memory()
    report("reading without a database")
    began = time.monotonic()
    read = sum(1 for _ in _open(path).rows())
    reading = time.monotonic() - began
    report("import")
    began = time.monotonic()
    imported = import_rows(records, _open(path).rows(), check=check)
    importing = time.monotonic() - began
    assert (read, imported.new, imported.rejected) == (number, number, []), "The import has left out purchases."
    return ImportBenchmarkResult(
        rows=number,
        rows_per_s=round(number / importing, 1),
        rows_per_s_reading=round(number / reading, 1),
        memory_mb=_peak_memory(),
        memory_mb_before=before,
    )


def _open(path: Path) -> PurchaseFile:
    return PurchaseFile(path, Options(values={"seller": SELLER.id}), {SELLER.id: SELLER.time_zone})


def _write(path: Path, number: int) -> None:
    """Write the file row by row, so that it needs little memory."""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        for n in range(number):
            at = first + timedelta(seconds=n)
            amount = f"{10 + n % 90}.{n % 100:02}"
            writer.writerow(
                (
                    f"MB-{n:08}",
                    f"customer{n}@example.com",
                    "Aurora Photo 4",
                    amount,
                    "eur",
                    "card",
                    "Stripe",
                    f"ch_{n:016}",
                    at,
                )
            )


def _peak_memory() -> float:
    """Return the most memory that this process has used so far, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIBIBYTES / 1_000, 1)
