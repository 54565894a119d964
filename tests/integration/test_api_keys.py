"""API keys of sellers: scopes, time of last use, rotation and revocation."""

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
from tests.integration.test_api import PURCHASE_BODY, REQUEST_BODY, REQUESTS_PATH, problem_document
from tests.integration.test_console import moneyback
from tests.sample_data import a_recent_purchase, store_seller_and_purchases

HOUR = timedelta(hours=1)


def create_api_key(site: Site, *scopes: ApiScope, name: str = "") -> tuple[ApiKey, dict[str, str]]:
    """Create an API key with scopes. Return the key and the header for requests."""
    with site.records.work() as work:
        key, secret = work.api_keys.create("aurora", scopes, name=name)
    return key, {"authorization": f"Bearer {secret}"}


def stored_api_key(site: Site, key: UUID) -> ApiKey:
    with site.records.work() as work:
        stored = work.api_keys.get(key)
    assert stored
    return stored


# Creation


def test_an_api_key_is_shown_once_and_only_its_hash_is_stored(site: Site) -> None:
    with site.records.work() as work:
        key, secret = work.api_keys.create("aurora", name="the shop")
        rows = repr([tuple(row) for row in work.run("select id, hash, name, scopes from api_keys")])
    assert re.fullmatch(rf"mb_{key.id.hex}_[\w-]{{43}}", secret)
    assert secret not in rows
    assert secret.rpartition(key.id.hex)[2] not in rows
    assert secret not in repr(key)


def test_all_api_keys_differ(site: Site) -> None:
    with site.records.work() as work:
        keys = [work.api_keys.create("aurora") for _ in range(100)]
    assert len({secret for _, secret in keys}) == len({secret[36:] for _, secret in keys}) == 100


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: key + "x", str.upper, lambda key: key[36:]])
def test_a_changed_api_key_is_refused(site: Site, change: Any) -> None:
    answer = site.web.post(
        REQUESTS_PATH, json=REQUEST_BODY, headers={"authorization": f"Bearer {change(site.api_key)}"}
    )
    problem_document(answer, ProblemCode.API_KEY_MISSING)


# Scopes

OPERATIONS: dict[ApiScope, Callable[[httpx.Client, dict[str, str]], httpx.Response]] = {
    ApiScope.REQUESTS_WRITE: lambda web, header: web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=header),
    ApiScope.REQUESTS_READ: lambda web, header: web.get(f"{REQUESTS_PATH}/{uuid4()}", headers=header),
    ApiScope.PURCHASES_WRITE: lambda web, header: web.put("/v1/purchases/MB-1", json=PURCHASE_BODY, headers=header),
}
SUCCESS_STATUSES = {202, 404, 201}


@pytest.mark.parametrize("scope", OPERATIONS)
def test_an_api_key_allows_only_the_operations_of_its_scope(site: Site, scope: ApiScope) -> None:
    _, header = create_api_key(site, scope)
    for needed, operation in OPERATIONS.items():
        answer = operation(site.web, header)
        if needed is scope:
            assert answer.status_code in SUCCESS_STATUSES
        else:
            assert f"“{needed}”" in problem_document(answer, ProblemCode.INSUFFICIENT_SCOPE)["detail"]


def test_every_scope_except_trusted_belongs_to_an_operation(site: Site) -> None:
    assert set(OPERATIONS) == DEFAULT_SCOPES
    document = site.web.get("/openapi.json").json()
    scopes_in_document = {
        scope
        for methods in document["paths"].values()
        for operation in methods.values()
        for requirement in operation.get("security", [])
        for scopes in requirement.values()
        for scope in scopes
    }
    assert scopes_in_document == ALL_SCOPES - {ApiScope.TRUSTED}


def test_only_an_api_key_with_the_trusted_scope_makes_a_trusted_case(site: Site) -> None:
    for scopes, trusted in ((DEFAULT_SCOPES, False), (ALL_SCOPES, True)):
        _, header = create_api_key(site, *scopes)
        case = site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=header).json()["id"]
        with site.records.work() as work:
            assert work.run("select trusted from cases where id = :case", case=case).scalar_one() is trusted


def test_an_unknown_scope_allows_nothing(site: Site) -> None:
    key, header = create_api_key(site)
    with site.records.work() as work:
        work.run("update api_keys set scopes = array['money:take', 'requests:read'] where id = :id", id=key.id)
    assert stored_api_key(site, key.id).scopes == {ApiScope.REQUESTS_READ}
    problem_document(site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=header), ProblemCode.INSUFFICIENT_SCOPE)


# Time of last use


def test_the_time_of_last_use_is_stored_once_for_many_requests(site: Site) -> None:
    key, header = create_api_key(site, *DEFAULT_SCOPES)
    assert key.last_used_at is None
    site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=header)
    assert stored_api_key(site, key.id).last_used_at is not None
    for _ in range(20):
        assert site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=header).status_code == 202
    with site.records.work() as work:
        (writes,) = work.run("select count(distinct xmin::text) from api_keys where id = :id", id=key.id).one()
        last_write = work.run("select xmin::text::bigint from api_keys where id = :id", id=key.id).scalar_one()
        first_case = work.run("select min(xmin::text::bigint) from cases").scalar_one()
    assert writes == 1
    assert last_write < first_case, "A later request updated the API key again."


def test_each_accepted_request_is_stored_in_one_commit(site: Site) -> None:
    for number in range(20):
        headers = site.auth_headers(**{"idempotency-key": f"order-{number}"})
        assert site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=headers).status_code == 202
    with site.records.work() as work:
        commits, cases = work.run(
            "select count(distinct xid), count(*) filter (where a_case) from ("
            " select xmin::text xid, true a_case from cases union all select xmin::text, false from transitions"
            " union all select xmin::text, false from outbox) written"
        ).one()
    assert commits == cases == 20


def test_the_time_of_last_use_is_updated_after_a_minute(site: Site) -> None:
    key, header = create_api_key(site, *DEFAULT_SCOPES)
    with site.records.work() as work:
        work.run("update api_keys set last_used_at = now() - interval '61 seconds' where id = :id", id=key.id)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: site.web.get(f"{REQUESTS_PATH}/{uuid4()}", headers=header), range(10)))
    assert {answer.status_code for answer in answers} == {404}
    used = stored_api_key(site, key.id).last_used_at
    assert used
    assert datetime.now(UTC) - used < timedelta(minutes=1)


def test_no_request_waits_for_the_lock_on_an_api_key(site: Site) -> None:
    key, header = create_api_key(site, *DEFAULT_SCOPES)
    with site.records.work() as work:  # like a concurrent request that updates the time of last use
        work.run("select from api_keys where id = :id for no key update", id=key.id)
        assert site.web.get(f"{REQUESTS_PATH}/{uuid4()}", headers=header).status_code == 404
    assert stored_api_key(site, key.id).last_used_at is None


# Revocation and rotation


def test_a_revoked_api_key_is_refused(site: Site) -> None:
    key, header = create_api_key(site, *DEFAULT_SCOPES)
    assert site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=header).status_code == 202
    with site.records.work() as work:
        ended = work.api_keys.revoke(key.id)
        repeated = work.api_keys.revoke(key.id)
    assert ended
    assert ended.expires_at
    assert repeated is None
    for operation in OPERATIONS.values():
        problem_document(operation(site.web, header), ProblemCode.API_KEY_MISSING)
    assert stored_api_key(site, key.id).expires_at == ended.expires_at


def test_a_rotated_api_key_works_until_its_grace_period_ends(site: Site) -> None:
    old, header = create_api_key(site, ApiScope.REQUESTS_READ, ApiScope.TRUSTED, name="the shop")
    with site.records.work() as work:
        rotated = work.api_keys.rotate(old.id, HOUR)
    assert rotated
    new, secret = rotated
    assert (new.seller, new.name, new.scopes, new.expires_at) == (old.seller, old.name, old.scopes, None)
    for either_header in (header, {"authorization": f"Bearer {secret}"}):
        problem_document(site.web.get(f"{REQUESTS_PATH}/{uuid4()}", headers=either_header), ProblemCode.NOT_FOUND)
    ends = stored_api_key(site, old.id).expires_at
    assert ends
    assert timedelta(minutes=59) < ends - datetime.now(UTC) <= HOUR
    with site.records.work() as work:
        work.run("update api_keys set expires_at = now() - interval '1 second' where id = :id", id=old.id)
    problem_document(site.web.get(f"{REQUESTS_PATH}/{uuid4()}", headers=header), ProblemCode.API_KEY_MISSING)


def test_a_second_rotation_keeps_the_expiry_time_and_a_revoked_key_cannot_be_rotated(site: Site) -> None:
    old, _ = create_api_key(site, *DEFAULT_SCOPES)
    with site.records.work() as work:
        work.api_keys.rotate(old.id, HOUR)
    ends = stored_api_key(site, old.id).expires_at
    with site.records.work() as work:
        work.api_keys.rotate(old.id, 24 * HOUR)
    assert stored_api_key(site, old.id).expires_at == ends
    with site.records.work() as work:
        work.api_keys.revoke(old.id)
        count = len(work.api_keys.for_seller("aurora"))
        assert work.api_keys.rotate(old.id, HOUR) is None
        assert work.api_keys.rotate(uuid4(), HOUR) is None
        assert len(work.api_keys.for_seller("aurora")) == count


# Commands


@pytest.fixture
def records_with_seller(records: Records) -> Records:
    store_seller_and_purchases(records)
    return records


def json_output(run: subprocess.CompletedProcess[str]) -> Any:
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_commands_create_list_rotate_and_revoke_an_api_key(records_with_seller: Records, settings: Settings) -> None:
    command = ("api-keys",)
    plain = moneyback(settings, *command, "create", "aurora", "--name", "shop")
    assert re.fullmatch(r"mb_[0-9a-f]{32}_[\w-]{43}\n", plain.stdout)
    created = json_output(
        moneyback(settings, *command, "create", "aurora", "--scope", "requests:write", "--scope", "trusted", "--json")
    )
    assert created["scopes"] == ["requests:write", "trusted"]
    with records_with_seller.work() as work:
        caller = work.api_keys.authenticate(created["key"])
    assert caller
    assert caller.trusted
    listed = json_output(moneyback(settings, *command, "list", "aurora", "--json"))
    assert [(row["name"], row["scopes"]) for row in listed] == [
        ("shop", sorted(DEFAULT_SCOPES)),
        ("", created["scopes"]),
    ]
    assert listed[1]["last_used_at"]
    assert "key" not in listed[1]
    rotated = json_output(moneyback(settings, *command, "rotate", created["id"], "--grace", "30m", "--json"))
    assert (rotated["replaces"], rotated["scopes"]) == (created["id"], created["scopes"])
    assert rotated["old_ends_at"]
    assert json_output(moneyback(settings, *command, "revoke", created["id"], "--json"))["expires_at"]
    listing = moneyback(settings, *command, "list", "aurora")
    assert "3 API keys of aurora" in listing.stdout
    assert "ended" in listing.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "nobody"), "There is no seller 'nobody'."),
        (("create", "aurora", "--scope", "money:take"), "money:take"),
        (("rotate", str(uuid4())), "that still works"),
        (("rotate", str(uuid4()), "--grace", "soon"), "Write the time as 30m, 24h or 7d"),
        (("revoke", str(uuid4())), "that still works"),
        (("revoke", "not-an-id"), "KEY"),
    ],
)
@pytest.mark.usefixtures("records_with_seller")
def test_an_invalid_api_key_command_prints_an_error_and_exits_with_2(
    settings: Settings, arguments: tuple[str, ...], sentence: str
) -> None:
    run = moneyback(settings, "api-keys", *arguments)
    assert run.returncode == 2
    assert sentence in " ".join(run.stderr.replace("│", " ").split())


@pytest.mark.parametrize("verb", ["create", "list", "rotate", "revoke"])
def test_every_api_key_command_has_help(verb: str) -> None:
    run = moneyback(None, "api-keys", verb, "--help")
    assert run.returncode == 0
    assert "--json" in run.stdout


# Idempotency keys


def test_a_request_whose_idempotency_key_is_in_use_gets_retry_after(site: Site) -> None:
    headers = site.auth_headers(**{"idempotency-key": "order-4711"})
    with site.records.work() as work:
        assert work.idempotency.claim("api:aurora", "order-4711")
        answer = site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=headers)
        assert "in a second" in problem_document(answer, ProblemCode.IDEMPOTENCY_KEY_IN_USE)["detail"]
        assert answer.headers["retry-after"] == "1"
        other = {"authorization": f"Bearer {site.other_api_key}", "idempotency-key": "order-4711"}
        assert site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=other).status_code == 202
        assert site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=site.auth_headers()).status_code == 202
    assert site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=headers).status_code == 202
    assert site.count_cases() == 3


def test_twenty_equal_concurrent_requests_with_one_idempotency_key_make_one_case(site: Site) -> None:
    headers = site.auth_headers(**{"idempotency-key": "order-4711"})
    barrier = threading.Barrier(20)

    def send_until_accepted(_: int) -> list[httpx.Response]:
        barrier.wait()
        answers = [site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=headers)]
        while answers[-1].status_code == 409:
            assert problem_document(answers[-1], ProblemCode.IDEMPOTENCY_KEY_IN_USE)
            answers.append(site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=headers))
        return answers

    with ThreadPoolExecutor(20) as pool:
        answers = [answers[-1] for answers in pool.map(send_until_accepted, range(20))]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert site.count_cases() == 1


def test_twenty_different_concurrent_requests_with_one_idempotency_key_make_one_case(site: Site) -> None:
    headers = site.auth_headers(**{"idempotency-key": "order-4711"})
    barrier = threading.Barrier(20)

    def send_until_decided(number: int) -> ProblemCode | UUID:
        barrier.wait()
        while True:
            answer = site.web.post(REQUESTS_PATH, json=REQUEST_BODY | {"reference": f"MB-{number}"}, headers=headers)
            if answer.status_code == 202:
                return UUID(answer.json()["id"])
            if answer.json()["type"] != f"http://testserver/problems/{ProblemCode.IDEMPOTENCY_KEY_IN_USE}":
                problem_document(answer, ProblemCode.IDEMPOTENCY_KEY_REUSED)
                return ProblemCode.IDEMPOTENCY_KEY_REUSED

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(send_until_decided, range(20)))
    assert results.count(ProblemCode.IDEMPOTENCY_KEY_REUSED) == 19
    assert site.count_cases() == 1


def test_the_response_to_a_repeated_request_contains_the_current_state(site: Site) -> None:
    purchase = a_recent_purchase()
    headers = site.auth_headers(**{"idempotency-key": "order-4711"})
    body = REQUEST_BODY | {"email": purchase.email, "reference": purchase.reference}
    first = site.web.post(REQUESTS_PATH, json=body, headers=headers).json()
    with site.records.work() as work:
        work.run("update cases set state = 'unmatched', next_action_at = null where id = :id", id=first["id"])
    repeated = site.web.post(REQUESTS_PATH, json=body, headers=headers)
    assert repeated.status_code == 202
    assert repeated.json() == first | {"state": State.UNMATCHED}


def test_the_api_keys_of_a_seller_share_one_set_of_idempotency_keys(site: Site) -> None:
    _, other = create_api_key(site, *ALL_SCOPES)
    ids = {
        site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers={**header, "idempotency-key": "order-4711"}).json()[
            "id"
        ]
        for header in (site.auth_headers(), other)
    }
    assert len(ids) == 1
