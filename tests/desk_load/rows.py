"""Fills a database with open cases of several sellers. The rows are written by SQL, because intake would take hours."""

from sqlalchemy import Engine, text

SELLERS = 20
WORDS = 3_000  # different words in the comments of customers; a few of them are in almost every comment

_SELLERS = """
insert into sellers (id, name, time_zone, support_email)
select 'seller' || n, 'Seller ' || n, 'Europe/Berlin', 's' || n || '@example.com' from generate_series(1, :sellers) as n
"""

_ROWS = """
create temporary table load_rows as
select n, md5('case ' || n)::uuid as case_id, md5('purchase ' || n)::uuid as purchase_id,
       'seller' || (1 + floor(power(random(), 3) * :sellers))::int as seller_id,
       now() - make_interval(secs => power(random(), 2) * 30 * 86400) as received_at,
       (array['en', 'de', 'fr', 'ja', 'es', 'pt-BR', 'it'])[1 + floor(power(random(), 2) * 7)::int] as locale,
       (array['EUR', 'USD', 'GBP', 'JPY'])[1 + floor(power(random(), 2) * 4)::int] as currency,
       floor(exp(random() * 7))::int * 100 + 99 as amount,
       'customer' || (n / 2) || '@example.com' as email,
       case when n % 10 = 0 then '["purchase_changed"]' when n % 997 = 0 then '["decision_undone"]'
            when n % 4 = 0 then '["outside_window", "serial_refunds"]' else '["outside_window"]' end as codes,
       (select string_agg('word' || floor(power(random(), 4) * :words), ' ') from generate_series(1, 25 + n * 0)) as comment
  from generate_series(1, :tasks) as n
"""

_PURCHASES = """
insert into purchases (id, seller_id, reference, literal_reference, reference_key, email, email_key, product, purchased_at)
select purchase_id, seller_id, 'LOAD-' || n, 'load-' || n, 'load' || n, email, email,
       (array['Aurora Photo 4', 'Babbage Tables', 'Paper Boat'])[1 + n % 3], received_at - interval '40 days'
  from load_rows
"""

_PAYMENTS = """
insert into payments (provider, charge, seller_id) select 'stripe', 'ch_load' || n, seller_id from load_rows
"""

_PURCHASE_PAYMENTS = """
insert into purchase_payments (purchase_id, position, provider, charge, amount, currency, method, charged_at)
select purchase_id, 0, 'stripe', 'ch_load' || n, amount, currency, 'credit_card', received_at - interval '40 days' from load_rows
"""

_CASES = """
insert into cases (id, seller_id, purchase_id, channel, intake_source, intake_key, intake_digest, email, email_key, reference,
                   reference_key, reason, refund_scope, comment, locale, trusted, received_at, state, seq, head_hash)
select case_id, seller_id, purchase_id, 'web', 'web', 'load ' || n, '', email, email, 'LOAD-' || n, 'load' || n, 'dissatisfied',
       'full', comment, locale, false, received_at, 'with_support', 2, '' from load_rows
"""

_OPERATIONS = """
insert into refund_operations (case_id, provider, charge, amount, currency, key, payload_hash, first_sent_at, last_sent_at,
                               status, refund_id)
select case_id, 'stripe', 'ch_load' || n, amount, currency, 'load ' || n, '', received_at, received_at, 'failed', 're_load' || n
  from load_rows where n % 5 = 0
"""

_TASKS = """
insert into support_tasks (id, case_id, seq, seller_id, language, amount, currency, created_at, published_at, due_at, clocks,
                           words, reasons, assigned_to, assigned_until, snoozed_until, snoozed_for, snoozed_by)
select md5('task ' || n)::uuid, case_id, 2, seller_id, locale, amount, currency, received_at, received_at,
       received_at + interval '2 days' + make_interval(days => n % 20),
       jsonb_build_array(jsonb_build_object('name', 'seller_answer', 'due', received_at + interval '2 days', 'whose', 'seller',
                                            'started', received_at)),
       to_tsvector('simple', comment),
       (select jsonb_agg(jsonb_build_object('code', code, 'detail', '45 days after the purchase; policy version 1 allows 30.',
                         'sentence', 'The purchase is older than the refund policy in force at the purchase allows.'))
          from jsonb_array_elements_text(codes::jsonb) as code),
       case when n % 500 = 0 then 'user:' || md5('agent ' || n % 40) end,
       case when n % 500 = 0 then now() + interval '10 minutes' end,
       case when n % 100 = 1 then now() + interval '3 days' end, case when n % 100 = 1 then 'date' end,
       case when n % 100 = 1 then 'user:' || md5('agent ' || n % 40) end
  from load_rows
"""

_ENDED = """
update support_tasks set closed_at = now(), closed_by = 'support', outcome = 'support_declined', assigned_to = null,
                         assigned_until = null, snoozed_until = null, snoozed_for = null, snoozed_by = null
 where id in (select md5('task ' || n)::uuid from load_rows where n > :open_tasks)
"""

_ENDED_CASES = """
update cases set state = 'declined' where id in (select case_id from load_rows where n > :open_tasks)
"""


def fill(owner: Engine, open_tasks: int) -> None:
    """Store this number of cases that support must decide, each with a purchase and a payment, and half as many ended cases."""
    values = {"tasks": open_tasks * 3 // 2, "open_tasks": open_tasks, "sellers": SELLERS, "words": WORDS}
    with owner.begin() as connection:
        connection.execute(text("set local statement_timeout = 0"))
        connection.execute(text("select setseed(0.5)"))
        for statement in (
            *(_SELLERS, _ROWS, _PURCHASES, _PAYMENTS, _PURCHASE_PAYMENTS, _CASES, _OPERATIONS, _TASKS, _ENDED),
            _ENDED_CASES,
        ):
            bound = text(statement)
            connection.execute(bound, {name: values[name] for name in bound.compile().params})
    with owner.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("set statement_timeout = 0"))
        connection.execute(text("vacuum analyze"))
