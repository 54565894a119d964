"""The keys of sellers' programs: what each may do, when it was used, how it is replaced and ended."""

import json
import re
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from config.settings import Settings
from domain.api_scopes import ALL_SCOPES, DEFAULT_SCOPES, ApiScope
from domain.states import State
from producers.web.problems import ProblemCode
from records import Records
from records.api_keys import ApiKey
from tests.integration._web_fixtures import Site
from tests.integration.test_api import ASK, ASKED, BOUGHT, problem
from tests.integration.test_console import moneyback
from tests.sample_data import a_recent_purchase, store_seller_and_purchases

HOUR = timedelta(hours=1)


def made(site: Site, *scopes: ApiScope, name: str = "") -> tuple[ApiKey, dict[str, str]]:
    """A key of these scopes, and the header that carries it."""
    with site.records.work() as work:
        key, secret = work.api_keys.create("aurora", scopes, name=name)
    return key, {"authorization": f"Bearer {secret}"}


def now_is(site: Site, key: UUID) -> ApiKey:
    with site.records.work() as work:
        found = work.api_keys.get(key)
    assert found
    return found


# What is kept


def test_a_key_is_shown_once_and_only_its_hash_is_kept(site: Site) -> None:
    with site.records.work() as work:
        key, secret = work.api_keys.create("aurora", name="the shop")
        rows = repr([tuple(row) for row in work.run("select id, hash, name, scopes from api_keys")])
    assert re.fullmatch(rf"mb_{key.id.hex}_[\w-]{{43}}", secret)
    assert secret not in rows
    assert secret.rpartition(key.id.hex)[2] not in rows
    assert secret not in repr(key)


def test_no_two_keys_are_alike(site: Site) -> None:
    with site.records.work() as work:
        keys = [work.api_keys.create("aurora") for _ in range(100)]
    assert len({secret for _, secret in keys}) == len({secret[36:] for _, secret in keys}) == 100


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: key + "x", str.upper, lambda key: key[36:]])
def test_what_is_almost_a_key_is_none(site: Site, change: Any) -> None:
    answer = site.web.post(ASK, json=ASKED, headers={"authorization": f"Bearer {change(site.api_key)}"})
    problem(answer, ProblemCode.API_KEY_MISSING)


# Scopes

OPERATIONS: dict[ApiScope, Callable[[httpx.Client, dict[str, str]], httpx.Response]] = {
    ApiScope.REQUESTS_WRITE: lambda web, header: web.post(ASK, json=ASKED, headers=header),
    ApiScope.REQUESTS_READ: lambda web, header: web.get(f"{ASK}/{uuid4()}", headers=header),
    ApiScope.PURCHASES_WRITE: lambda web, header: web.put("/v1/purchases/MB-1", json=BOUGHT, headers=header),
}
DONE = {202, 404, 201}


@pytest.mark.parametrize("scope", OPERATIONS)
def test_a_key_does_what_its_scope_allows_and_nothing_else(site: Site, scope: ApiScope) -> None:
    _, header = made(site, scope)
    for needed, operation in OPERATIONS.items():
        answer = operation(site.web, header)
        if needed is scope:
            assert answer.status_code in DONE
        else:
            assert f"“{needed}”" in problem(answer, ProblemCode.INSUFFICIENT_SCOPE)["detail"]


def test_every_scope_but_trusted_is_an_operations(site: Site) -> None:
    assert set(OPERATIONS) == DEFAULT_SCOPES
    document = site.web.get("/openapi.json").json()
    named = {
        scope
        for methods in document["paths"].values()
        for operation in methods.values()
        for needs in operation.get("security", [])
        for scopes in needs.values()
        for scope in scopes
    }
    assert named == DEFAULT_SCOPES


def test_only_a_trusted_key_makes_a_trusted_case(site: Site) -> None:
    for scopes, trusted in ((DEFAULT_SCOPES, False), (ALL_SCOPES, True)):
        _, header = made(site, *scopes)
        case = site.web.post(ASK, json=ASKED, headers=header).json()["id"]
        with site.records.work() as work:
            assert work.run("select trusted from cases where id = :case", case=case).scalar_one() is trusted


def test_a_scope_of_a_later_version_allows_nothing_here(site: Site) -> None:
    key, header = made(site)
    with site.records.work() as work:
        work.run("update api_keys set scopes = array['money:take', 'requests:read'] where id = :id", id=key.id)
    assert now_is(site, key.id).scopes == {ApiScope.REQUESTS_READ}
    problem(site.web.post(ASK, json=ASKED, headers=header), ProblemCode.INSUFFICIENT_SCOPE)


# When it was used


def test_the_first_use_is_noted_and_the_next_ones_write_nothing_of_the_key(site: Site) -> None:
    key, header = made(site, *DEFAULT_SCOPES)
    assert key.last_used_at is None
    site.web.post(ASK, json=ASKED, headers=header)
    assert now_is(site, key.id).last_used_at is not None
    for _ in range(20):
        assert site.web.post(ASK, json=ASKED, headers=header).status_code == 202
    with site.records.work() as work:
        (writes,) = work.run("select count(distinct xmin::text) from api_keys where id = :id", id=key.id).one()
        noted = work.run("select xmin::text::bigint from api_keys where id = :id", id=key.id).scalar_one()
        first = work.run("select min(xmin::text::bigint) from cases").scalar_one()
    assert writes == 1
    assert noted < first, "A later request wrote the key again."


def test_accepting_a_request_is_one_commit(site: Site) -> None:
    for number in range(20):
        headers = site.auth_headers(**{"idempotency-key": f"order-{number}"})
        assert site.web.post(ASK, json=ASKED, headers=headers).status_code == 202
    with site.records.work() as work:
        commits, cases = work.run(
            "select count(distinct xid), count(*) filter (where a_case) from ("
            " select xmin::text xid, true a_case from cases union all select xmin::text, false from transitions"
            " union all select xmin::text, false from outbox) written"
        ).one()
    assert commits == cases == 20


def test_a_use_is_noted_again_after_a_minute_by_one_of_many(site: Site) -> None:
    key, header = made(site, *DEFAULT_SCOPES)
    with site.records.work() as work:
        work.run("update api_keys set last_used_at = now() - interval '61 seconds' where id = :id", id=key.id)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: site.web.get(f"{ASK}/{uuid4()}", headers=header), range(10)))
    assert {answer.status_code for answer in answers} == {404}
    used = now_is(site, key.id).last_used_at
    assert used
    assert datetime.now(UTC) - used < timedelta(minutes=1)


def test_nobody_waits_to_note_a_use(site: Site) -> None:
    key, header = made(site, *DEFAULT_SCOPES)
    with site.records.work() as work:  # as another request that is noting it just now
        work.run("select from api_keys where id = :id for no key update", id=key.id)
        assert site.web.get(f"{ASK}/{uuid4()}", headers=header).status_code == 404
    assert now_is(site, key.id).last_used_at is None


# Its end


def test_an_ended_key_is_unknown_from_then_on(site: Site) -> None:
    key, header = made(site, *DEFAULT_SCOPES)
    assert site.web.post(ASK, json=ASKED, headers=header).status_code == 202
    with site.records.work() as work:
        ended = work.api_keys.revoke(key.id)
        again = work.api_keys.revoke(key.id)
    assert ended
    assert ended.expires_at
    assert again is None
    for operation in OPERATIONS.values():
        problem(operation(site.web, header), ProblemCode.API_KEY_MISSING)
    assert now_is(site, key.id).expires_at == ended.expires_at


def test_a_rotated_key_lives_on_for_its_grace_and_the_new_one_may_do_the_same(site: Site) -> None:
    old, header = made(site, ApiScope.REQUESTS_READ, ApiScope.TRUSTED, name="the shop")
    with site.records.work() as work:
        rotated = work.api_keys.rotate(old.id, HOUR)
    assert rotated
    new, secret = rotated
    assert (new.seller, new.name, new.scopes, new.expires_at) == (old.seller, old.name, old.scopes, None)
    for one in (header, {"authorization": f"Bearer {secret}"}):
        problem(site.web.get(f"{ASK}/{uuid4()}", headers=one), ProblemCode.NOT_FOUND)
    ends = now_is(site, old.id).expires_at
    assert ends
    assert timedelta(minutes=59) < ends - datetime.now(UTC) <= HOUR
    with site.records.work() as work:
        work.run("update api_keys set expires_at = now() - interval '1 second' where id = :id", id=old.id)
    problem(site.web.get(f"{ASK}/{uuid4()}", headers=header), ProblemCode.API_KEY_MISSING)


def test_rotating_never_lengthens_a_life_and_an_ended_key_is_not_rotated(site: Site) -> None:
    old, _ = made(site, *DEFAULT_SCOPES)
    with site.records.work() as work:
        work.api_keys.rotate(old.id, HOUR)
    ends = now_is(site, old.id).expires_at
    with site.records.work() as work:
        work.api_keys.rotate(old.id, 24 * HOUR)
    assert now_is(site, old.id).expires_at == ends
    with site.records.work() as work:
        work.api_keys.revoke(old.id)
        count = len(work.api_keys.for_seller("aurora"))
        assert work.api_keys.rotate(old.id, HOUR) is None
        assert work.api_keys.rotate(uuid4(), HOUR) is None
        assert len(work.api_keys.for_seller("aurora")) == count


# On the command line


@pytest.fixture
def shop(records: Records) -> Records:
    store_seller_and_purchases(records)
    return records


def told(run: subprocess.CompletedProcess[str]) -> Any:
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_a_key_is_made_listed_rotated_and_ended_by_command(shop: Records, settings: Settings) -> None:
    key = ("api-keys",)
    plain = moneyback(settings, *key, "create", "aurora", "--name", "shop")
    assert re.fullmatch(r"mb_[0-9a-f]{32}_[\w-]{43}\n", plain.stdout)
    made = told(
        moneyback(settings, *key, "create", "aurora", "--scope", "requests:write", "--scope", "trusted", "--json")
    )
    assert made["scopes"] == ["requests:write", "trusted"]
    with shop.work() as work:
        caller = work.api_keys.authenticate(made["key"])
    assert caller
    assert caller.trusted
    listed = told(moneyback(settings, *key, "list", "aurora", "--json"))
    assert [(one["name"], one["scopes"]) for one in listed] == [("shop", sorted(DEFAULT_SCOPES)), ("", made["scopes"])]
    assert listed[1]["last_used_at"]
    assert "key" not in listed[1]
    rotated = told(moneyback(settings, *key, "rotate", made["id"], "--grace", "30m", "--json"))
    assert (rotated["replaces"], rotated["scopes"]) == (made["id"], made["scopes"])
    assert rotated["old_ends_at"]
    assert told(moneyback(settings, *key, "revoke", made["id"], "--json"))["expires_at"]
    shown = moneyback(settings, *key, "list", "aurora")
    assert "3 API keys of aurora" in shown.stdout
    assert "ended" in shown.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("create", "nobody"), "There is no seller 'nobody'."),
        (("create", "aurora", "--scope", "money:take"), "money:take"),
        (("rotate", str(uuid4())), "that still works"),
        (("rotate", str(uuid4()), "--grace", "soon"), "Write it as 30m, 24h or 7d"),
        (("revoke", str(uuid4())), "that still works"),
        (("revoke", "not-an-id"), "KEY"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_what_cannot_be_done_is_a_sentence_and_bad_usage(
    settings: Settings, words: tuple[str, ...], sentence: str
) -> None:
    run = moneyback(settings, "api-keys", *words)
    assert run.returncode == 2
    assert sentence in " ".join(run.stderr.replace("│", " ").split())


@pytest.mark.parametrize("verb", ["create", "list", "rotate", "revoke"])
def test_every_verb_of_a_key_has_help(verb: str) -> None:
    run = moneyback(None, "api-keys", verb, "--help")
    assert run.returncode == 0
    assert "--json" in run.stdout


# One key of a request at a time


def test_while_a_request_is_being_accepted_the_same_key_is_told_to_come_again(site: Site) -> None:
    headers = site.auth_headers(**{"idempotency-key": "order-4711"})
    with site.records.work() as work:
        assert work.idempotency.claim("api:aurora", "order-4711")
        answer = site.web.post(ASK, json=ASKED, headers=headers)
        assert "in a second" in problem(answer, ProblemCode.IDEMPOTENCY_KEY_IN_USE)["detail"]
        assert answer.headers["retry-after"] == "1"
        other = {"authorization": f"Bearer {site.other_api_key}", "idempotency-key": "order-4711"}
        assert site.web.post(ASK, json=ASKED, headers=other).status_code == 202
        assert site.web.post(ASK, json=ASKED, headers=site.auth_headers()).status_code == 202
    assert site.web.post(ASK, json=ASKED, headers=headers).status_code == 202
    assert site.count_cases() == 3


def test_twenty_at_once_with_one_key_are_one_case_and_each_is_told_so_or_to_come_again(site: Site) -> None:
    headers = site.auth_headers(**{"idempotency-key": "order-4711"})
    together = threading.Barrier(20)

    def ask(_: int) -> list[httpx.Response]:
        together.wait()
        answers = [site.web.post(ASK, json=ASKED, headers=headers)]
        while answers[-1].status_code == 409:
            assert problem(answers[-1], ProblemCode.IDEMPOTENCY_KEY_IN_USE)
            answers.append(site.web.post(ASK, json=ASKED, headers=headers))
        return answers

    with ThreadPoolExecutor(20) as pool:
        answers = [answers[-1] for answers in pool.map(ask, range(20))]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert site.count_cases() == 1


def test_twenty_requests_at_once_with_one_key_are_one_case_and_nineteen_refusals(site: Site) -> None:
    headers = site.auth_headers(**{"idempotency-key": "order-4711"})
    together = threading.Barrier(20)

    def ask(number: int) -> ProblemCode | UUID:
        together.wait()
        while True:
            answer = site.web.post(ASK, json=ASKED | {"reference": f"MB-{number}"}, headers=headers)
            if answer.status_code == 202:
                return UUID(answer.json()["id"])
            if answer.json()["type"] != f"http://testserver/problems/{ProblemCode.IDEMPOTENCY_KEY_IN_USE}":
                problem(answer, ProblemCode.IDEMPOTENCY_KEY_REUSED)
                return ProblemCode.IDEMPOTENCY_KEY_REUSED

    with ThreadPoolExecutor(20) as pool:
        became = list(pool.map(ask, range(20)))
    assert became.count(ProblemCode.IDEMPOTENCY_KEY_REUSED) == 19
    assert site.count_cases() == 1


def test_the_answer_to_a_repeat_tells_where_the_case_stands_by_now(site: Site) -> None:
    bought = a_recent_purchase()
    headers = site.auth_headers(**{"idempotency-key": "order-4711"})
    body = ASKED | {"email": bought.email, "reference": bought.reference}
    first = site.web.post(ASK, json=body, headers=headers).json()
    with site.records.work() as work:
        work.run("update cases set state = 'unmatched', next_action_at = null where id = :id", id=first["id"])
    again = site.web.post(ASK, json=body, headers=headers)
    assert again.status_code == 202
    assert again.json() == first | {"state": State.UNMATCHED}


def test_a_key_names_a_request_of_any_of_the_sellers_keys(site: Site) -> None:
    _, other = made(site, *ALL_SCOPES)
    ids = {
        site.web.post(ASK, json=ASKED, headers={**header, "idempotency-key": "order-4711"}).json()["id"]
        for header in (site.auth_headers(), other)
    }
    assert len(ids) == 1
