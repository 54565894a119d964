"""What the statements about steps, their history, and requests coming in do."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from records import case_views, history, intake, statutory_withdrawals
from tests.simulation.memory.cases import Seen
from tests.simulation.memory.journal import refuse
from tests.simulation.memory.tables import EPOCH, CaseRow, OutboxRow, TransitionRow, after
from tests.simulation.memory.work import MemoryWork, does


class Told(NamedTuple):
    """A row of _ALL: a case, and one row of its history."""

    id: UUID
    state: str
    last_seq: int
    head: bytes
    seq: Any
    at: Any = None
    here: Any = None
    event: Any = None
    there: Any = None
    actor: Any = None
    why: Any = None
    evidence: Any = None
    hash: Any = None


class Moved(NamedTuple):
    case_id: UUID


@does(history._RECORD)
def record(
    work: MemoryWork,
    now: datetime,
    ids: Sequence[UUID],
    fences: Sequence[int],
    seqs: Sequence[int],
    heres: Sequence[str],
    events: Sequence[str],
    theres: Sequence[str],
    actors: Sequence[str],
    whys: Sequence[str],
    evidences: Sequence[str],
    hashes: Sequence[bytes],
    dues: Sequence[float | None],
    pauses: Sequence[float | None],
    leases: Sequence[float | None],
    purchases: Sequence[UUID | None],
    sellers: Sequence[str | None],
) -> Iterable[Moved]:
    moved = []
    for n, case in enumerate(ids):
        row = work.tables.cases.get(case)
        if row is None or (row.fence, row.seq, row.state) != (fences[n], seqs[n] - 1, heres[n]):
            continue
        due, pause, lease = dues[n], pauses[n], leases[n]
        work.journal.change(
            row,
            state=str(theres[n]),
            seq=seqs[n],
            head=hashes[n],
            next_action_at=None if due is None else after(now, due),
            not_before=EPOCH if pause is None else after(now, pause),
            lease_until=EPOCH if lease is None else after(now, lease),
            fence=row.fence + (lease is not None),
            deliveries=0,
            purchase=purchases[n] or row.purchase,
            seller=row.seller if sellers[n] is None else sellers[n],
        )
        work.journal.check_case(row)
        told = TransitionRow(
            case,
            seqs[n],
            now,
            str(heres[n]),
            str(events[n]),
            str(theres[n]),
            actors[n],
            whys[n],
            evidences[n],
            hashes[n],
        )
        work.journal.insert(work.tables.transitions, (case, seqs[n]), told, "transitions_pkey")
        moved.append(Moved(case))
    return moved


def _rows(work: MemoryWork, case: UUID) -> Iterator[TransitionRow]:
    number = 1
    while row := work.tables.transitions.get((case, number)):
        yield row
        number += 1


@does(history._OF)
def of(work: MemoryWork, case: UUID) -> Iterable[tuple[Any, ...]]:
    return [(*row[1:8], json.loads(row.evidence), row.hash) for row in _rows(work, case)]


@does(history._ALL)
def everything(work: MemoryWork) -> Iterator[Told]:
    for case in sorted(work.tables.cases.values(), key=lambda row: row.id):
        ours = (case.id, case.state, case.seq, case.head)
        rows = list(_rows(work, case.id))
        for row in rows:
            yield Told(*ours, *row[1:8], json.loads(row.evidence), row.hash)
        if not rows:
            yield Told(*ours, None)


class Fresh(NamedTuple):
    id: UUID


@does(intake._INSERT)
def insert(
    work: MemoryWork,
    now: datetime,
    event: str,
    there: str,
    lane: float,
    lane_name: str,
    hashes: Sequence[bytes],
    **columns: Sequence[Any],
) -> Iterable[Fresh]:
    tables, fresh = work.tables, []
    taken = {(row.intake_source, row.intake_key) for row in tables.cases.values()}
    for n, case in enumerate(columns["ids"]):
        values = {name: column[n] for name, column in columns.items()}
        if (values["sources"], values["keys"]) in taken:
            continue
        taken.add((values["sources"], values["keys"]))
        row = CaseRow(
            id=case,
            seller=values["sellers"],
            channel=str(values["channels"]),
            intake_source=values["sources"],
            intake_key=values["keys"],
            intake_digest=values["digests"],
            email=values["emails"],
            email_key=values["email_keys"],
            reference=values["references"],
            reference_key=values["reference_keys"],
            reason=str(values["reasons"]),
            refund_scope=str(values["refund_scopes"]),
            comment=values["comments"],
            answers=values["answers"],
            locale=values["locales"],
            thread=values["threads"],
            trusted=values["trusteds"],
            bulk=values["bulks"],
            received_at=now,
            state=str(there),
            seq=1,
            head=hashes[n],
            next_action_at=after(now, lane),
        )
        if row.seller is not None and row.seller not in tables.sellers:
            raise refuse("cases_seller_fkey")
        work.journal.insert(tables.cases, case, row, "cases_pkey")
        told = TransitionRow(case, 1, now, "", str(event), str(there), row.channel, "", "{}", hashes[n])
        work.journal.insert(tables.transitions, (case, 1), told, "transitions_pkey")
        tables.numbers += 1
        message = OutboxRow(tables.numbers, lane_name, row.bulk, row.seller or "", case, now)
        work.journal.insert(tables.outbox, message.id, message, "outbox_pkey")
        fresh.append(Fresh(case))
    return fresh


class Earlier(NamedTuple):
    id: UUID
    intake_source: str
    intake_key: str
    intake_digest: bytes
    state: str


@does(history._TELLING)
def telling(work: MemoryWork, cases: Sequence[UUID], name: str) -> Iterable[Moved]:
    return [Moved(case) for case in cases if any(name in json.loads(row.evidence) for row in _rows(work, case))]


@does(intake._EARLIER)
def earlier(work: MemoryWork, sources: Sequence[str], keys: Sequence[str]) -> Iterable[Earlier]:
    wanted = set(zip(sources, keys, strict=True))
    return [
        Earlier(row.id, row.intake_source, row.intake_key, row.intake_digest, row.state)
        for row in work.tables.cases.values()
        if (row.intake_source, row.intake_key) in wanted
    ]


@does(statutory_withdrawals._ABOUT)
@does(statutory_withdrawals._THESE)
def withdrawn(work: MemoryWork, cases: Sequence[UUID]) -> None:  # noqa: ARG001  # nobody withdraws by law here
    return None


@does(case_views._THESE)
def these(work: MemoryWork, ids: Sequence[UUID]) -> Iterable[Seen]:
    return [_seen(work, row) for case in dict.fromkeys(ids) if (row := work.tables.cases.get(case))]


def _seen(work: MemoryWork, case: CaseRow) -> Seen:
    seller = work.tables.sellers.get(case.seller or "")
    bought = work.tables.purchases.get(case.purchase) if case.purchase else None
    told = [found["reasons"] for row in _rows(work, case.id) if "reasons" in (found := json.loads(row.evidence))]
    shop = (seller.name, seller.support_email, seller.time_zone) if seller else (None,) * 3
    goods = (
        (bought.product, bought.amount, bought.currency, bought.method, bought.email, bought.reference, bought.renewal)
        if bought
        else (None,) * 7
    )
    declared = (None,) * 3  # nobody withdraws by law here
    return Seen._make((
        case.id, case.state, case.channel, case.reference, case.seller, case.reason, case.refund_scope, case.comment,
        json.loads(case.answers), case.locale, case.thread, case.email, case.received_at, case.next_action_at,
        case.purchase, *shop, *goods, *declared, told[-1] if told else None,
    ))  # fmt: skip
