"""Many requests in one call: each line by itself, answered while the others come, and safe to send again."""

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import psutil
import pytest

from domain.api_scopes import ALL_SCOPES, DEFAULT_SCOPES, ApiScope
from producers.web import middleware
from producers.web.api import bulk, ndjson
from producers.web.app import app
from producers.web.problems import ProblemCode
from tests.integration._web_fixtures import Site, WebServer, serve
from tests.integration.test_api import ASK, ASKED, problem
from tests.services import tamper

BULK = f"{ASK}/bulk"
HEADERS = {"content-type": ndjson.NDJSON, "idempotency-key": "recall-2026-06"}


def asked(number: int, **changes: Any) -> dict[str, Any]:
    return ASKED | {"reference": f"MB-{number:06}"} | changes


def body(*asks: dict[str, Any] | bytes) -> bytes:
    return b"".join((ask if isinstance(ask, bytes) else json.dumps(ask).encode()) + b"\n" for ask in asks)


def told(answer: httpx.Response) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What an answer says of each line, and its summary."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == ndjson.NDJSON
    *each, summary = map(json.loads, answer.text.splitlines())
    assert all("line" in one for one in each)
    assert "line" not in summary
    return each, summary


def send(site: Site, content: bytes | Iterable[bytes], **headers: str) -> httpx.Response:
    return site.web.post(BULK, content=content, headers=site.auth_headers(**HEADERS | headers), timeout=120)


def kinds(each: list[dict[str, Any]]) -> list[str | None]:
    return [
        one["problem"]["type"].removeprefix("http://testserver/problems/") if "problem" in one else None for one in each
    ]


# What becomes of a line


def test_each_line_is_a_case_in_the_lane_for_many(site: Site) -> None:
    each, summary = told(send(site, body(*map(asked, range(1, 1_201)))))
    assert [one["line"] for one in each] == list(range(1, 1_201))
    assert {one["state"] for one in each} == {"received"}
    assert len({one["id"] for one in each}) == 1_200
    assert summary == {"accepted": 1_200, "rejected": 0}
    with site.records.work() as work:
        rows = work.run("select seller_id, channel, bulk, trusted, count(*) from cases group by 1, 2, 3, 4").all()
        waiting = work.run("select bulk, count(*) from outbox group by 1").all()
    assert [tuple(row) for row in rows] == [("aurora", "api", True, False, 1_200)]
    assert [tuple(row) for row in waiting] == [(True, 1_200)]


def test_a_line_that_is_wrong_loses_no_other(site: Site) -> None:
    content = body(
        asked(1),
        b"{",
        asked(2, reason="boredom"),
        b"",
        b"   ",
        b"\xff\xfe",
        b"[" * 10_000,
        b"null",
        asked(3, amount=1),
        asked(4, comment="x" * ndjson.MAX_LINE_BYTES),
        asked(5, idempotency_key="two\nlines"),
        {"\ud800": 1},
        asked(6),
    )
    each, summary = told(send(site, content))
    assert [one["line"] for one in each] == [1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13]
    assert kinds(each) == [
        None, "malformed_body", "validation_failed", "malformed_body", "malformed_body", "validation_failed",
        "validation_failed", "content_too_large", "validation_failed", "malformed_body", None,
    ]  # fmt: skip
    assert each[2]["problem"]["errors"][0]["pointer"] == "#/reason"
    assert each[6]["problem"]["errors"] == [{"detail": "This field is unknown. Leave it out.", "pointer": "#/amount"}]
    assert summary == {"accepted": 2, "rejected": 9}
    assert site.count_cases() == 2


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n\n"])
def test_the_last_line_may_end_or_not(site: Site, end: bytes) -> None:
    each, summary = told(send(site, body(asked(1)) + json.dumps(asked(2)).encode() + end))
    assert [one["line"] for one in each] == [1, 2]
    assert summary["accepted"] == 2


def test_a_call_without_lines_is_answered_with_its_summary(site: Site) -> None:
    assert told(send(site, b"")) == ([], {"accepted": 0, "rejected": 0})


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_where_a_piece_of_the_body_ends_does_not_matter(site: Site, size: int) -> None:
    content = body(*map(asked, range(1, 21)))
    pieces = (content[first : first + size] for first in range(0, len(content), size))
    each, summary = told(send(site, pieces))
    assert [one["line"] for one in each] == list(range(1, 21))
    assert summary == {"accepted": 20, "rejected": 0}


# Keys


def test_the_same_call_again_finds_the_same_cases(site: Site) -> None:
    content = body(*map(asked, range(1, 601)), asked(601, idempotency_key="mine"), b"{")
    first, again = (told(send(site, content)) for _ in range(2))
    assert first == again
    assert site.count_cases() == 601


def test_another_calls_key_makes_other_requests_of_lines_without_one(site: Site) -> None:
    content = body(asked(1), asked(2, idempotency_key="mine"))
    ids = [[one["id"] for one in told(send(site, content, **{"idempotency-key": key}))[0]] for key in ("one", "other")]
    assert ids[0][0] != ids[1][0]
    assert ids[0][1] == ids[1][1]


def test_a_lines_key_is_the_key_of_a_request_that_comes_alone(site: Site) -> None:
    alone = site.web.post(ASK, json=asked(1), headers=site.auth_headers(**{"idempotency-key": "order-1"})).json()
    each, _ = told(
        send(
            site,
            body(
                asked(1, idempotency_key="order-1"),
                asked(2, idempotency_key="order-1"),
                asked(3, idempotency_key="order-3"),
            ),
        )
    )
    assert each[0]["id"] == alone["id"]
    assert kinds(each) == [None, "idempotency_key_reused", None]
    alone = site.web.post(ASK, json=asked(3), headers=site.auth_headers(**{"idempotency-key": "order-3"})).json()
    assert each[2]["id"] == alone["id"]


def test_a_line_that_comes_twice_is_one_case_and_both_are_told(site: Site) -> None:
    each, summary = told(
        send(
            site,
            body(
                asked(1),
                asked(1),
                asked(2, idempotency_key="a"),
                asked(3, idempotency_key="a"),
                asked(2, idempotency_key="a"),
            ),
        )
    )
    assert each[0]["id"] == each[1]["id"]
    assert kinds(each) == [None, None, None, "idempotency_key_reused", None]
    assert each[2]["id"] == each[4]["id"]
    assert summary == {"accepted": 4, "rejected": 1}
    assert site.count_cases() == 2


def test_the_lines_of_two_sellers_never_meet(site: Site) -> None:
    content = body(asked(1, idempotency_key="mine"), asked(2))
    other = {"authorization": f"Bearer {site.other_api_key}", **HEADERS}
    ours = {one["id"] for one in told(send(site, content))[0]}
    theirs = {one["id"] for one in told(site.web.post(BULK, content=content, headers=other))[0]}
    assert len(ours | theirs) == 4


# Who may


@pytest.mark.parametrize(("scopes", "trusted"), [(DEFAULT_SCOPES, False), (ALL_SCOPES, True)])
def test_the_key_decides_whether_the_customers_confirm(site: Site, scopes: frozenset[ApiScope], trusted: bool) -> None:
    with site.records.work() as work:
        _, secret = work.api_keys.create("aurora", scopes)
    told(site.web.post(BULK, content=body(asked(1)), headers={"authorization": f"Bearer {secret}", **HEADERS}))
    with site.records.work() as work:
        assert work.run("select trusted from cases").scalars().all() == [trusted]


def test_what_is_wrong_with_the_call_is_said_before_a_line_is_read(site: Site) -> None:
    with site.records.work() as work:
        _, secret = work.api_keys.create("aurora", ALL_SCOPES - {ApiScope.REQUESTS_WRITE})
    lacking = {"authorization": f"Bearer {secret}"}
    content = body(asked(1))
    problem(site.web.post(BULK, content=content, headers=HEADERS), ProblemCode.API_KEY_MISSING)
    problem(site.web.post(BULK, content=content, headers=HEADERS | lacking), ProblemCode.INSUFFICIENT_SCOPE)
    for media in ("application/json", "", "text/plain; application/x-ndjson"):
        problem(send(site, content, **{"content-type": media}), ProblemCode.UNSUPPORTED_MEDIA_TYPE)
    without = site.auth_headers(**{"content-type": ndjson.NDJSON})
    wrong = problem(site.web.post(BULK, content=content, headers=without), ProblemCode.VALIDATION_FAILED)
    assert wrong["errors"] == [{"detail": "This is missing.", "parameter": "Idempotency-Key"}]
    assert send(site, content, **{"content-type": "Application/X-NDJSON; charset=utf-8"}).status_code == 200
    assert site.count_cases() == 1


# Limits


def test_a_hundred_thousand_lines_are_the_most(site: Site) -> None:
    each, summary = told(send(site, body(asked(1)) + b"\n" * (ndjson.MAX_LINES - 2) + body(asked(2))))
    assert [one["line"] for one in each] == [1, ndjson.MAX_LINES]
    assert "problem" not in summary
    each, summary = told(send(site, body(asked(1)) + b"\n" * (ndjson.MAX_LINES - 1) + body(asked(2))))
    assert [one["line"] for one in each] == [1]
    assert "at most 100,000 lines" in summary["problem"]["detail"]


def test_who_sends_something_else_than_was_meant_is_stopped(site: Site) -> None:
    each, summary = told(send(site, b"nothing\n" * (bulk.MAX_REJECTED_LINES + 5_000)))
    assert bulk.MAX_REJECTED_LINES < len(each) <= bulk.MAX_REJECTED_LINES + bulk.BATCH_SIZE
    assert summary["rejected"] == len(each)
    assert "More than 10,000 lines were rejected" in summary["problem"]["detail"]


def test_a_body_that_is_too_large_is_refused_unread_or_ends_the_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(middleware._MAX_BYTES_BY_PATH, BULK, 1_000_000)
    content = body(asked(1)) + b"\n" * 1_000 + b"x" * 3_000_000
    problem(send(site, content), ProblemCode.CONTENT_TOO_LARGE)
    pieces = (content[first : first + 10_000] for first in range(0, len(content), 10_000))
    each, summary = told(send(site, pieces))
    assert [one["line"] for one in each] == [1]
    assert "at most 64 MB" in summary["problem"]["detail"]
    problem(site.web.post(ASK, content=content, headers=site.auth_headers()), ProblemCode.CONTENT_TOO_LARGE)


# Both ways at once


class Talk:
    """A client that hears while it still speaks."""

    def __init__(self, site: Site, **headers: str) -> None:
        url = site.web.base_url
        self.socket = socket.create_connection((url.host, url.port), timeout=30)
        head = {"host": "testserver", "transfer-encoding": "chunked", **site.auth_headers(**HEADERS | headers)}
        self.socket.sendall(f"POST {BULK} HTTP/1.1\r\n".encode())
        self.socket.sendall("".join(f"{name}: {value}\r\n" for name, value in head.items()).encode() + b"\r\n")
        self._heard = self.socket.makefile("rb")
        self._began = False

    def say(self, content: bytes) -> None:
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(content), content))

    def hear(self) -> list[dict[str, Any]]:
        """The lines of the next piece of the answer; none at its end."""
        if not self._began:
            self._began = self._heard.readline() == b"HTTP/1.1 200 OK\r\n"
            assert self._began
            while self._heard.readline() != b"\r\n":
                pass
        size = int(self._heard.readline(), 16)
        piece = self._heard.read(size + 2)
        return [json.loads(line) for line in piece.splitlines() if line]

    def close(self) -> None:
        self._heard.close()
        self.socket.close()


@pytest.fixture
def talk(site: Site) -> Iterator[Talk]:
    talk = Talk(site)
    yield talk
    talk.close()


def test_a_line_is_answered_while_the_next_is_not_written_yet(site: Site, talk: Talk) -> None:
    for number in range(1, 6):
        talk.say(body(asked(number)))
        (answer,) = talk.hear()
        assert answer["line"] == number
        assert site.count_cases() == number
    talk.say(b"")
    assert talk.hear() == [{"accepted": 5, "rejected": 0}]
    assert talk.hear() == []


def test_who_leaves_in_the_middle_has_had_what_was_answered(site: Site, talk: Talk) -> None:
    talk.say(body(asked(1), asked(2)) + b'{"email": "ada@')
    assert [one["line"] for one in talk.hear()] == [1, 2]
    talk.close()
    again, _ = told(send(site, body(asked(1), asked(2), asked(3))))
    assert len(again) == site.count_cases() == 3


def test_no_more_is_read_than_can_be_kept(site: Site) -> None:
    """The web of this test ends with it, because it stores the last lines after the lock, when nobody waits any more."""
    line = body(asked(1, comment="x" * 2_000))
    said = []

    def say_all(talk: Talk) -> None:
        for _ in range(ndjson.MAX_LINES // 100):
            talk.say(line * 100)
            said.append(len(line) * 100)

    with serve(app(site.settings)) as web:
        talk = Talk(replace(site, web=web))
        talk.socket.settimeout(1)
        with site.records.work() as work:
            work.run("lock table cases in exclusive mode")
            with pytest.raises(TimeoutError):
                say_all(talk)
        talk.close()
    assert sum(said) < 16_000_000, "It was read on while nothing could be kept."


@pytest.mark.slow
def test_a_client_that_reads_nothing_before_it_has_sent_all_is_not_waited_for_for_ever(site: Site) -> None:
    content = body(*map(asked, range(1, 20_001)))
    each, summary = told(send(site, (content[first : first + 60_000] for first in range(0, len(content), 60_000))))
    assert len(each) == 20_000
    assert summary == {"accepted": 20_000, "rejected": 0}


@pytest.mark.slow
def test_fifty_megabytes_are_never_held_at_once(site: Site) -> None:
    us, held = psutil.Process(), []

    def pieces() -> Iterator[bytes]:
        for first in range(0, 12_500, 20):
            held.append(us.memory_info().rss)
            yield body(*(asked(number, comment="x" * 3_900) for number in range(first, first + 20)))

    with site.web.stream("POST", BULK, content=pieces(), headers=site.auth_headers(**HEADERS), timeout=120) as answer:
        answered = sum(1 for _ in answer.iter_lines())
    assert answered == 12_501
    assert site.count_cases() == 12_500
    grown = max(held) - held[len(held) // 10]  # by then every part has been used once
    assert grown < 12_000_000, f"{grown:,} bytes"


# Trouble


@contextmanager
def away(web_server: WebServer) -> Iterator[None]:
    """The database turns everybody away."""
    tamper(web_server.servers, "postgres", f'alter database "{web_server.database}" with allow_connections false')
    others = f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{web_server.database}'"
    tamper(web_server.servers, "postgres", others)
    try:
        yield
    finally:
        tamper(web_server.servers, "postgres", f'alter database "{web_server.database}" with allow_connections true')


def test_a_database_that_goes_away_in_the_middle_is_said_and_the_repeat_finds_what_was_kept(
    web_server: WebServer, site: Site, talk: Talk
) -> None:
    content = [body(*(asked(number) for number in range(first, first + 100))) for first in (1, 101, 201)]
    talk.say(content[0])
    answered = talk.hear()
    assert len(answered) == 100
    with away(web_server):
        talk.say(content[1])
        (summary,) = talk.hear()
        assert talk.hear() == []
    assert summary["accepted"] == 100
    assert summary["problem"]["type"] == f"http://testserver/problems/{ProblemCode.SERVICE_UNAVAILABLE}"
    assert "with the same Idempotency-Key" in summary["problem"]["detail"]
    again, summary = told(send(site, b"".join(content)))
    assert again[:100] == answered
    assert summary == {"accepted": 300, "rejected": 0}
    assert site.count_cases() == 300
