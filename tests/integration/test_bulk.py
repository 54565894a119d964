"""Tests of bulk requests. Each line of a call gets its own result, and a repeated call creates no second case."""

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
from tests.integration.test_api import REQUEST_BODY, REQUESTS_PATH, problem_document
from tests.services import tamper

BULK = f"{REQUESTS_PATH}/bulk"
HEADERS = {"content-type": ndjson.NDJSON, "idempotency-key": "bulk-2026-06"}


def request_line(number: int, **changes: Any) -> dict[str, Any]:
    return REQUEST_BODY | {"reference": f"MB-{number:06}"} | changes


def ndjson_body(*lines: dict[str, Any] | bytes) -> bytes:
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


def parse_response(answer: httpx.Response) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the result of each line and the summary of a response."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == ndjson.NDJSON
    *results, summary = map(json.loads, answer.text.splitlines())
    assert all("line" in result for result in results)
    assert "line" not in summary
    return results, summary


def send_bulk(site: Site, content: bytes | Iterable[bytes], **headers: str) -> httpx.Response:
    return site.web.post(BULK, content=content, headers=site.auth_headers(**HEADERS | headers), timeout=120)


def problem_kinds(results: list[dict[str, Any]]) -> list[str | None]:
    return [
        result["problem"]["type"].removeprefix("http://testserver/problems/") if "problem" in result else None
        for result in results
    ]


# Lines


def test_each_line_creates_a_case_with_bulk_priority(site: Site) -> None:
    results, summary = parse_response(send_bulk(site, ndjson_body(*map(request_line, range(1, 1_201)))))
    assert [result["line"] for result in results] == list(range(1, 1_201))
    assert {result["state"] for result in results} == {"received"}
    assert len({result["id"] for result in results}) == len({result["number"] for result in results}) == 1_200
    assert summary == {"accepted": 1_200, "rejected": 0}
    with site.records.work() as work:
        rows = work.run("select seller_id, channel, bulk, trusted, count(*) from cases group by 1, 2, 3, 4").all()
        waiting = work.run("select bulk, count(*) from outbox group by 1").all()
    assert [tuple(row) for row in rows] == [("aurora", "api", True, False, 1_200)]
    assert [tuple(row) for row in waiting] == [(True, 1_200)]


def test_an_invalid_line_does_not_affect_other_lines(site: Site) -> None:
    content = ndjson_body(
        request_line(1),
        b"{",
        request_line(2, reason="boredom"),
        b"",
        b"   ",
        b"\xff\xfe",
        b"[" * 10_000,
        b"null",
        request_line(3, amount=1),
        request_line(4, comment="x" * ndjson.MAX_LINE_BYTES),
        request_line(5, idempotency_key="two\nlines"),
        {"\ud800": 1},
        request_line(6),
    )
    results, summary = parse_response(send_bulk(site, content))
    assert [result["line"] for result in results] == [1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13]
    assert problem_kinds(results) == [
        None, "malformed_body", "validation_failed", "malformed_body", "malformed_body", "validation_failed",
        "validation_failed", "content_too_large", "validation_failed", "malformed_body", None,
    ]  # fmt: skip
    assert results[2]["problem"]["errors"][0]["pointer"] == "#/reason"
    assert results[6]["problem"]["errors"] == [
        {"detail": "This field is unknown. Leave it out.", "pointer": "#/amount"}
    ]
    assert summary == {"accepted": 2, "rejected": 9}
    assert site.count_cases() == 2


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n\n"])
def test_the_last_line_needs_no_line_break(site: Site, end: bytes) -> None:
    results, summary = parse_response(
        send_bulk(site, ndjson_body(request_line(1)) + json.dumps(request_line(2)).encode() + end)
    )
    assert [result["line"] for result in results] == [1, 2]
    assert summary["accepted"] == 2


def test_a_call_without_lines_gets_only_a_summary(site: Site) -> None:
    assert parse_response(send_bulk(site, b"")) == ([], {"accepted": 0, "rejected": 0})


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_line_may_be_split_across_chunks(site: Site, size: int) -> None:
    content = ndjson_body(*map(request_line, range(1, 21)))
    pieces = (content[first : first + size] for first in range(0, len(content), size))
    results, summary = parse_response(send_bulk(site, pieces))
    assert [result["line"] for result in results] == list(range(1, 21))
    assert summary == {"accepted": 20, "rejected": 0}


# Idempotency keys


def test_a_repeated_call_gets_the_same_cases(site: Site) -> None:
    content = ndjson_body(*map(request_line, range(1, 601)), request_line(601, idempotency_key="mine"), b"{")
    first, repeated = (parse_response(send_bulk(site, content)) for _ in range(2))
    assert first == repeated
    assert site.count_cases() == 601


def test_a_repeat_with_another_idempotency_key_creates_new_cases_for_lines_without_a_key(site: Site) -> None:
    content = ndjson_body(request_line(1), request_line(2, idempotency_key="mine"))
    ids = [
        [result["id"] for result in parse_response(send_bulk(site, content, **{"idempotency-key": key}))[0]]
        for key in ("one", "other")
    ]
    assert ids[0][0] != ids[1][0]
    assert ids[0][1] == ids[1][1]


def test_a_line_and_a_single_request_with_the_same_key_are_one_case(site: Site) -> None:
    alone = site.web.post(
        REQUESTS_PATH, json=request_line(1), headers=site.auth_headers(**{"idempotency-key": "order-1"})
    ).json()
    results, _ = parse_response(
        send_bulk(
            site,
            ndjson_body(
                request_line(1, idempotency_key="order-1"),
                request_line(2, idempotency_key="order-1"),
                request_line(3, idempotency_key="order-3"),
            ),
        )
    )
    assert (results[0]["id"], results[0]["number"]) == (alone["id"], alone["number"])
    assert problem_kinds(results) == [None, "idempotency_key_reused", None]
    alone = site.web.post(
        REQUESTS_PATH, json=request_line(3), headers=site.auth_headers(**{"idempotency-key": "order-3"})
    ).json()
    assert results[2]["id"] == alone["id"]


def test_a_repeated_line_is_one_case_with_two_results(site: Site) -> None:
    results, summary = parse_response(
        send_bulk(
            site,
            ndjson_body(
                request_line(1),
                request_line(1),
                request_line(2, idempotency_key="a"),
                request_line(3, idempotency_key="a"),
                request_line(2, idempotency_key="a"),
            ),
        )
    )
    assert results[0]["id"] == results[1]["id"]
    assert problem_kinds(results) == [None, None, None, "idempotency_key_reused", None]
    assert results[2]["id"] == results[4]["id"]
    assert summary == {"accepted": 4, "rejected": 1}
    assert site.count_cases() == 2


def test_equal_lines_of_two_sellers_are_different_cases(site: Site) -> None:
    content = ndjson_body(request_line(1, idempotency_key="mine"), request_line(2))
    other = {"authorization": f"Bearer {site.other_api_key}", **HEADERS}
    own_ids = {result["id"] for result in parse_response(send_bulk(site, content))[0]}
    other_ids = {result["id"] for result in parse_response(site.web.post(BULK, content=content, headers=other))[0]}
    assert len(own_ids | other_ids) == 4


# API keys


@pytest.mark.parametrize(("scopes", "trusted"), [(DEFAULT_SCOPES, False), (ALL_SCOPES, True)])
def test_the_scopes_of_the_api_key_decide_whether_cases_are_trusted(
    site: Site, scopes: frozenset[ApiScope], trusted: bool
) -> None:
    with site.records.work() as work:
        _, secret = work.api_keys.create("aurora", scopes)
    parse_response(
        site.web.post(
            BULK, content=ndjson_body(request_line(1)), headers={"authorization": f"Bearer {secret}", **HEADERS}
        )
    )
    with site.records.work() as work:
        assert work.run("select trusted from cases").scalars().all() == [trusted]


def test_an_invalid_call_is_refused_before_a_line_is_read(site: Site) -> None:
    with site.records.work() as work:
        _, secret = work.api_keys.create("aurora", ALL_SCOPES - {ApiScope.REQUESTS_WRITE})
    without_scope = {"authorization": f"Bearer {secret}"}
    content = ndjson_body(request_line(1))
    problem_document(site.web.post(BULK, content=content, headers=HEADERS), ProblemCode.API_KEY_MISSING)
    problem_document(
        site.web.post(BULK, content=content, headers=HEADERS | without_scope), ProblemCode.INSUFFICIENT_SCOPE
    )
    for media in ("application/json", "", "text/plain; application/x-ndjson"):
        problem_document(send_bulk(site, content, **{"content-type": media}), ProblemCode.UNSUPPORTED_MEDIA_TYPE)
    without_key = site.auth_headers(**{"content-type": ndjson.NDJSON})
    problem = problem_document(site.web.post(BULK, content=content, headers=without_key), ProblemCode.VALIDATION_FAILED)
    assert problem["errors"] == [{"detail": "This is missing.", "parameter": "Idempotency-Key"}]
    assert send_bulk(site, content, **{"content-type": "Application/X-NDJSON; charset=utf-8"}).status_code == 200
    assert site.count_cases() == 1


# Limits


def test_a_call_has_at_most_a_hundred_thousand_lines(site: Site) -> None:
    results, summary = parse_response(
        send_bulk(site, ndjson_body(request_line(1)) + b"\n" * (ndjson.MAX_LINES - 2) + ndjson_body(request_line(2)))
    )
    assert [result["line"] for result in results] == [1, ndjson.MAX_LINES]
    assert "problem" not in summary
    results, summary = parse_response(
        send_bulk(site, ndjson_body(request_line(1)) + b"\n" * (ndjson.MAX_LINES - 1) + ndjson_body(request_line(2)))
    )
    assert [result["line"] for result in results] == [1]
    assert "at most 100,000 lines" in summary["problem"]["detail"]


def test_a_call_with_too_many_invalid_lines_is_stopped(site: Site) -> None:
    results, summary = parse_response(send_bulk(site, b"nothing\n" * (bulk.MAX_REJECTED_LINES + 5_000)))
    assert bulk.MAX_REJECTED_LINES < len(results) <= bulk.MAX_REJECTED_LINES + bulk.BATCH_SIZE
    assert summary["rejected"] == len(results)
    assert "More than 10,000 lines were rejected" in summary["problem"]["detail"]


def test_a_too_large_body_is_refused_before_or_during_reading(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(middleware._MAX_BYTES_BY_PATH, BULK, 1_000_000)
    content = ndjson_body(request_line(1)) + b"\n" * 1_000 + b"x" * 3_000_000
    problem_document(send_bulk(site, content), ProblemCode.CONTENT_TOO_LARGE)
    pieces = (content[first : first + 10_000] for first in range(0, len(content), 10_000))
    results, summary = parse_response(send_bulk(site, pieces))
    assert [result["line"] for result in results] == [1]
    assert "at most 64 MB" in summary["problem"]["detail"]
    problem_document(
        site.web.post(REQUESTS_PATH, content=content, headers=site.auth_headers()), ProblemCode.CONTENT_TOO_LARGE
    )


# Reading while sending


class DuplexClient:
    """A client that reads results while it still sends lines."""

    def __init__(self, site: Site, **headers: str) -> None:
        url = site.web.base_url
        self.socket = socket.create_connection((url.host, url.port), timeout=30)
        head = {"host": "testserver", "transfer-encoding": "chunked", **site.auth_headers(**HEADERS | headers)}
        self.socket.sendall(f"POST {BULK} HTTP/1.1\r\n".encode())
        self.socket.sendall("".join(f"{name}: {value}\r\n" for name, value in head.items()).encode() + b"\r\n")
        self._response = self.socket.makefile("rb")
        self._has_started = False

    def send(self, content: bytes) -> None:
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(content), content))

    def receive(self) -> list[dict[str, Any]]:
        """Return the lines of the next chunk of the response, or an empty list at the end of the response."""
        if not self._has_started:
            self._has_started = self._response.readline() == b"HTTP/1.1 200 OK\r\n"
            assert self._has_started
            while self._response.readline() != b"\r\n":
                pass
        size = int(self._response.readline(), 16)
        chunk = self._response.read(size + 2)
        return [json.loads(line) for line in chunk.splitlines() if line]

    def close(self) -> None:
        self._response.close()
        self.socket.close()


@pytest.fixture
def client(site: Site) -> Iterator[DuplexClient]:
    client = DuplexClient(site)
    yield client
    client.close()


def test_a_line_gets_its_result_before_the_next_line_is_sent(site: Site, client: DuplexClient) -> None:
    for number in range(1, 6):
        client.send(ndjson_body(request_line(number)))
        (answer,) = client.receive()
        assert answer["line"] == number
        assert site.count_cases() == number
    client.send(b"")
    assert client.receive() == [{"accepted": 5, "rejected": 0}]
    assert client.receive() == []


def test_lines_with_a_result_are_stored_if_the_client_disconnects(site: Site, client: DuplexClient) -> None:
    client.send(ndjson_body(request_line(1), request_line(2)) + b'{"email": "ada@')
    assert [result["line"] for result in client.receive()] == [1, 2]
    client.close()
    repeated, _ = parse_response(send_bulk(site, ndjson_body(request_line(1), request_line(2), request_line(3))))
    assert len(repeated) == site.count_cases() == 3


def test_the_web_server_stops_reading_while_it_cannot_store_lines(site: Site) -> None:
    """The test runs its own web server, because a shared server could still store lines after the end of this test."""
    line = ndjson_body(request_line(1, comment="x" * 2_000))
    sent = []

    def send_many(client: DuplexClient) -> None:
        for _ in range(ndjson.MAX_LINES // 100):
            client.send(line * 100)
            sent.append(len(line) * 100)

    with serve(app(site.settings)) as web:
        client = DuplexClient(replace(site, web=web))
        client.socket.settimeout(1)
        with site.records.work() as work:
            work.run("lock table cases in exclusive mode")
            with pytest.raises(TimeoutError):
                send_many(client)
        client.close()
    assert sum(sent) < 16_000_000, "The web server continued to read, although it could store nothing."


@pytest.mark.slow
def test_a_client_that_sends_everything_before_it_reads_gets_all_results(site: Site) -> None:
    content = ndjson_body(*map(request_line, range(1, 20_001)))
    results, summary = parse_response(
        send_bulk(site, (content[first : first + 60_000] for first in range(0, len(content), 60_000)))
    )
    assert len(results) == 20_000
    assert summary == {"accepted": 20_000, "rejected": 0}


@pytest.mark.slow
def test_a_body_of_fifty_megabytes_does_not_fill_the_memory(site: Site) -> None:
    process, used = psutil.Process(), []

    def chunks() -> Iterator[bytes]:
        for first in range(0, 12_500, 20):
            used.append(process.memory_info().rss)
            yield ndjson_body(*(request_line(number, comment="x" * 3_900) for number in range(first, first + 20)))

    with site.web.stream("POST", BULK, content=chunks(), headers=site.auth_headers(**HEADERS), timeout=120) as answer:
        answered = sum(1 for _ in answer.iter_lines())
    assert answered == 12_501
    assert site.count_cases() == 12_500
    growth = max(used) - used[len(used) // 10]  # during the first tenth, the web server also loads code
    assert growth < 12_000_000, f"The memory of the process has grown by {growth:,} bytes."


# Database failures


@contextmanager
def database_unavailable(web_server: WebServer) -> Iterator[None]:
    """Refuse all connections to the database while the block runs."""
    tamper(web_server.servers, "postgres", f'alter database "{web_server.database}" with allow_connections false')
    close_connections = (
        f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{web_server.database}'"
    )
    tamper(web_server.servers, "postgres", close_connections)
    try:
        yield
    finally:
        tamper(web_server.servers, "postgres", f'alter database "{web_server.database}" with allow_connections true')


def test_a_database_failure_ends_the_response_and_a_repeat_completes_the_call(
    web_server: WebServer, site: Site, client: DuplexClient
) -> None:
    content = [ndjson_body(*(request_line(number) for number in range(first, first + 100))) for first in (1, 101, 201)]
    client.send(content[0])
    answered = client.receive()
    assert len(answered) == 100
    with database_unavailable(web_server):
        client.send(content[1])
        (summary,) = client.receive()
        assert client.receive() == []
    assert summary["accepted"] == 100
    assert summary["problem"]["type"] == f"http://testserver/problems/{ProblemCode.SERVICE_UNAVAILABLE}"
    assert "with the same Idempotency-Key" in summary["problem"]["detail"]
    repeated, summary = parse_response(send_bulk(site, b"".join(content)))
    assert repeated[:100] == answered
    assert summary == {"accepted": 300, "rejected": 0}
    assert site.count_cases() == 300
