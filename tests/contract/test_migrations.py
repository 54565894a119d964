"""The migrations create the tables that the code defines. The code is not compatible with a database of an earlier version."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from config.settings import Settings
from console.servers import Servers
from domain.case_numbers import MAX_SERIAL
from domain.purchases import literal_reference, reference_key
from domain.support_tasks import SupportTaskKind
from records import migrate
from records.support_tasks import NewSupportTask
from records.tables import cases, decisions, desk, desk_users, helpdesks, mail, purchases, queues
from records.unit_of_work import connect
from tests.services import fresh_database, with_database

NEXT = """
from alembic import op

revision = "next"
down_revision = "{latest}"


def upgrade() -> None:
    op.execute("alter table cases add column later text not null default ''")
"""


@pytest.fixture
def owner(settings: Settings) -> Iterator[Engine]:
    """Yield an engine that connects as the owner of the database."""
    assert settings.database_owner_url
    engine = connect(settings.database_owner_url.get_secret_value())
    yield engine
    engine.dispose()


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Add a migration, as a later release would. Yield the revision of the database before this migration."""
    latest = migrate.latest_revision()
    folder = tmp_path / "migrations"
    shutil.copytree(migrate._MIGRATIONS, folder)
    (folder / "versions" / "next.py").write_text(NEXT.format(latest=latest), "utf-8")
    monkeypatch.setattr(migrate, "_MIGRATIONS", folder)
    migrate._earlier_revisions.cache_clear()
    yield latest
    migrate._earlier_revisions.cache_clear()


def test_migrations_create_the_tables(owner: Engine) -> None:
    metadata = cases.cases.metadata
    assert {module.metadata for module in (cases, decisions, desk, desk_users, helpdesks, mail, purchases, queues)} == {
        metadata
    }
    with owner.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_create_the_constraints_and_indexes(owner: Engine) -> None:
    """Alembic compares neither check constraints nor conditions of indexes, so this test compares PostgreSQL's definitions."""
    with owner.connect() as connection:
        migrated = _definitions(connection, "public")
        connection.execute(text("create schema created"))
        cases.cases.metadata.create_all(connection.execution_options(schema_translate_map={None: "created"}))
        created = _definitions(connection, "created")
        connection.rollback()
    assert migrated == created


def _definitions(connection: Connection, schema: str) -> set[str]:
    """Return PostgreSQL's definitions of the constraints and indexes in a schema, without the schema's name."""
    rows = connection.execute(
        text("""
            select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) from pg_constraint
             where connamespace = cast(cast(:schema as text) as regnamespace) and contype <> 'n' and conname not like 'alembic%'
            union all
            select indexdef from pg_indexes where schemaname = cast(:schema as text) and tablename <> 'alembic_version'
        """),
        {"schema": schema},
    )
    return {definition.replace(f"{schema}.", "") for definition in rows.scalars()}


def test_migrating_again_changes_nothing(owner: Engine) -> None:
    assert migrate.current_revision(owner) == migrate.latest_revision() == migrate.migrate(owner)


def test_a_migration_may_take_longer_than_other_statements(owner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts = []

    def upgrade(config: Config, _: str) -> None:
        connection: Connection = config.attributes["connection"]
        timeouts.append(connection.execute(text("show statement_timeout")).scalar_one())

    monkeypatch.setattr("alembic.command.upgrade", upgrade)
    migrate.migrate(owner)
    with owner.connect() as connection:
        timeouts.append(connection.execute(text("show statement_timeout")).scalar_one())
    assert timeouts == ["0", "20s"]


def test_a_database_of_this_version_or_later_is_compatible() -> None:
    assert migrate.is_compatible(migrate.latest_revision())
    assert migrate.is_compatible("a later version")
    assert not migrate.is_compatible(None), "A database without a migration must not be compatible."


def test_a_database_of_an_earlier_version_is_not_compatible(next_release: str) -> None:
    assert migrate.latest_revision() == "next"
    assert not migrate.is_compatible(next_release)


@pytest.fixture
def first_version(servers: Servers) -> Iterator[Engine]:
    """Yield an engine for a database in which only the first migration has run."""
    with fresh_database(servers) as name:
        engine = connect(with_database(servers.postgres.owner_url, name))
        with engine.begin() as connection:
            connection.execute(text("drop schema public cascade"))
            connection.execute(text("create schema public"))
            command.upgrade(migrate._config(connection), "0001")
            connection.execute(
                text("insert into sellers (id, name, time_zone, support_email) values ('aurora', '', '', '')")
            )
        yield engine
        engine.dispose()


def sell(
    connection: Connection, reference: str, *, charge: str, on: str = "2026-06-12", dispute: str | None = None
) -> None:
    """Store a purchase of 49.00 EUR, as the first version stored purchases."""
    connection.execute(
        text("""
            insert into purchases (id, seller_id, reference, reference_key, email, email_key, product, amount, currency, method,
                                   provider, charge, purchased_at, charged_at, provider_dispute)
            values (gen_random_uuid(), 'aurora', :reference, :key, 'ada@example.com', 'ada@example.com', 'Aurora Photo 4', 4900,
                    'EUR', 'credit_card', 'stripe', :charge, cast(:on as date), cast(:on as date), :dispute)
        """),
        {"reference": reference, "key": reference_key(reference), "charge": charge, "on": on, "dispute": dispute},
    )


def insert_case(connection: Connection, key: str) -> None:
    """Store a refunded case, as the first version stored cases."""
    connection.execute(
        text("""
            insert into cases (id, channel, intake_source, intake_key, intake_digest, email, email_key, reference, reference_key,
                               reason, refund_scope, comment, answers, locale, trusted, bulk, state, seq, head_hash, received_at)
            values (gen_random_uuid(), 'web', 'web', :key, '', 'ada@example.com', 'ada@example.com', 'MB-1', 'mb1', 'other',
                    'full', '', '{}', 'en', false, false, 'refunded', 1, '', now())
        """),
        {"key": key},
    )


def test_an_earlier_purchase_keeps_its_payment_with_the_dispute(first_version: Engine) -> None:
    with first_version.begin() as connection:
        sell(connection, "MB-1", charge="ch_1", dispute="open")
        sell(connection, "MB-2", charge="ch_2")
    migrate.migrate(first_version)
    with first_version.connect() as connection:
        rows = connection.execute(
            text("""
                select p.reference, b.charge, b.amount, b.currency, b.method, y.seller_id, y.refunded, y.dispute
                  from purchases p join purchase_payments b on b.purchase_id = p.id join payments y using (provider, charge)
                 order by p.reference
            """)
        ).all()
    assert rows == [
        ("MB-1", "ch_1", 4900, "EUR", "credit_card", "aurora", 0, "open"),
        ("MB-2", "ch_2", 4900, "EUR", "credit_card", "aurora", 0, "none"),
    ]


def test_an_earlier_purchase_has_no_items(first_version: Engine) -> None:
    with first_version.begin() as connection:
        sell(connection, "MB-1", charge="ch_1")
    migrate.migrate(first_version)
    with first_version.connect() as connection:
        assert connection.execute(text("select items from purchases")).scalar_one() == []


@pytest.mark.parametrize(("status", "refunded"), [("paid", 4900), ("pending", 0), ("failed", 0), ("unknown", 0)])
def test_an_earlier_refund_paid_its_amount_if_it_was_paid(first_version: Engine, status: str, refunded: int) -> None:
    with first_version.begin() as connection:
        sell(connection, "MB-1", charge="ch_1")
        insert_case(connection, "k")
        connection.execute(
            text("""
                insert into refund_operations (case_id, provider, charge, amount, currency, key, payload_hash, first_sent_at,
                                               last_sent_at, status)
                select id, 'stripe', 'ch_1', 4900, 'EUR', 'key', '', now(), now(), :status from cases
            """),
            {"status": status},
        )
    migrate.migrate(first_version)
    with first_version.connect() as connection:
        assert connection.execute(text("select paid_amount from refund_operations")).scalar_one() == refunded
        assert connection.execute(text("select refunded from payments")).scalar_one() == refunded


def test_each_earlier_case_gets_a_case_number(first_version: Engine) -> None:
    with first_version.begin() as connection:
        for key in ("k1", "k2", "k3"):
            insert_case(connection, key)
    migrate.migrate(first_version)
    with first_version.begin() as connection:
        insert_case(connection, "k4")
        assert sorted(connection.execute(text("select number from cases")).scalars()) == [1, 2, 3, 4]


def flag_mail(connection: Connection, message_id: str, *, days: int) -> None:
    """Store an e-mail that was flagged some days ago without a task."""
    connection.execute(
        text("""
            insert into inbound_mails (id, message_id, thread, sender_key, kind, case_ids, subject, text, flagged_at)
            select gen_random_uuid(), :message_id, :message_id, 'ada@example.com', 'not_a_request',
                   array(select id from cases), 'A question', 'Where is my wombat?', now() - make_interval(days => :days)
            """),
        {"message_id": message_id, "days": days},
    )


def test_each_recent_flagged_mail_gets_a_task_of_its_own(first_version: Engine) -> None:
    with first_version.begin() as connection:
        command.upgrade(migrate._config(connection), "0011")
        insert_case(connection, "k")
        connection.execute(text("update cases set seller_id = 'aurora'"))
        flag_mail(connection, "recent", days=2)
        flag_mail(connection, "old", days=20)
    migrate.migrate(first_version)
    with first_version.connect() as connection:
        task = connection.execute(
            text("""
                select t.id, t.seller_id, t.language, t.reason_codes, t.words @@ to_tsquery('simple', 'wombat') as is_found,
                       t.due_at < now() + interval '2 days' as is_due, t.evidence, m.message_id, m.id as mail_id, e.change
                  from support_tasks t join inbound_mails m on m.id::text = t.subject
                  join support_task_events e on e.task_id = t.id
                """)
        ).one()
    (task_id, *facts, mail_id, change) = task
    mail = NewSupportTask(kind=SupportTaskKind.FLAGGED_MAIL, subject=str(mail_id), evidence={})
    assert task_id == mail.id, "if the e-mail is flagged again, it has the same task"
    evidence = {"mail_id": str(mail_id), "mail_kind": "not_a_request"}
    assert facts == ["aurora", "en", ["flagged_mail"], True, True, evidence, "recent"]
    assert change == "opened"


def test_an_open_task_is_found_by_what_was_written_before(first_version: Engine) -> None:
    reasons = '[{"code": "outside_window", "sentence": "Too old [and, \\"quoted\\"]."}, {"code": "serial_refunds"}]'
    with first_version.begin() as connection:
        insert_case(connection, "k")
        connection.execute(text("update cases set comment = 'My okapi is broken.'"))
        connection.execute(
            text("""
                insert into support_tasks (id, case_id, seq, reasons)
                select gen_random_uuid(), id, 1, cast(:reasons as jsonb) from cases
                """),
            {"reasons": reasons},
        )
    migrate.migrate(first_version)
    with first_version.connect() as connection:
        found = connection.execute(
            text("select reason_codes from support_tasks where words @@ to_tsquery('simple', 'okapi')")
        ).scalar_one()
    assert found == ["outside_window", "serial_refunds"]


def test_a_serial_number_fits_into_a_case_number(owner: Engine) -> None:
    with owner.connect() as connection:
        limit = connection.execute(text("select max_value from pg_sequences where sequencename = 'cases_number_seq'"))
        assert limit.scalar_one() == MAX_SERIAL


def test_purchases_that_had_the_same_charge_share_one_payment(first_version: Engine) -> None:
    with first_version.begin() as connection:
        sell(connection, "MB-1", charge="ch_1", on="2026-06-13")
        sell(connection, "MB-2", charge="ch_1", on="2026-06-12")
    migrate.migrate(first_version)
    with first_version.connect() as connection:
        assert connection.execute(text("select charge from payments")).scalars().all() == ["ch_1"]
        assert connection.execute(text("select count(*) from purchase_payments")).scalar_one() == 2


@pytest.mark.parametrize(
    "reference",
    [
        "MB-2026-0417",
        " mb 17 ",
        "#1001",
        "STRAẞE-1",
        "straße-1",
        "ΟΔΟΣ-7",
        "İ-3",
        "ＭＢ－１",
        "\u00a0Ä-1",
        "注文１２",
        "ﬁ-9",
        "\ufeffMB-2",
        "MB-2\u200b",
        "MB\u00ad-2",
        "\u202aMB-2\u202c",
        "\tMB-2",
        "MB\x1f-2",
        "MB-2\x85",
    ],
)
def test_an_earlier_purchase_is_found_by_its_literal_reference(first_version: Engine, reference: str) -> None:
    with first_version.begin() as connection:
        sell(connection, reference, charge="ch_1")
    migrate.migrate(first_version)
    with first_version.connect() as connection:
        stored = connection.execute(text("select literal_reference from purchases")).scalar_one()
    assert stored == literal_reference(reference)


@pytest.mark.parametrize("other", ["\ufeffMB-2", "MB-2\u200b", "mb-2\u200e", "M\u00adB-2"])
def test_the_first_version_refused_a_second_purchase_that_differs_only_in_invisible_characters(
    first_version: Engine, other: str
) -> None:
    """So the migration never gives one literal reference to two purchases."""
    with first_version.begin() as connection:
        sell(connection, "MB-2", charge="ch_1")
    with pytest.raises(IntegrityError), first_version.begin() as connection:
        sell(connection, other, charge="ch_2")
    migrate.migrate(first_version)
