"""The desk: agents take tasks, decide cases, confirm and undo decisions, keep drafts and write notes."""

import re
from html import unescape
from uuid import UUID

import httpx
import pytest

from domain.desk_roles import Role
from domain.money import Money
from domain.states import State
from domain.support_tasks import SupportTaskKind
from records import Records
from records.support_tasks import NewSupportTask
from tests.integration._desk_fixtures import Desk
from tests.integration._web_fixtures import a_case
from tests.sample_data import a_seller
from tests.services import eventually


@pytest.fixture
def case(desk: Desk) -> UUID:
    return a_case(desk.records, State.WITH_SUPPORT)


@pytest.fixture
def agent(desk: Desk) -> httpx.Client:
    return desk.sign_in(Role.AGENT, email="clara@desk.example")


@pytest.fixture
def lead(desk: Desk) -> httpx.Client:
    return desk.sign_in(Role.LEAD, email="lea@desk.example")


def fields_of(client: httpx.Client, case: UUID, **fields: str) -> dict[str, str]:
    """Return the fields of the decision form as a browser sends them, with the hidden fields and the checked boxes."""
    page = client.get(f"/cases/{case}").text
    form = page.split(f'action="/cases/{case}/decisions"')[1].split("</form>")[0]
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    checked = dict.fromkeys(re.findall(r'<input type="checkbox" name="([\w.]+)" value="yes" checked', form), "yes")
    return hidden | checked | {"do": "decide"} | fields


def decide(client: httpx.Client, case: UUID, **fields: str) -> httpx.Response:
    return client.post(f"/cases/{case}/decisions", data=fields_of(client, case, **fields))


def state_of(records: Records, case: UUID) -> str:
    with records.work() as work:
        view = work.case_views.get(case)
    assert view
    return view.state


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"choice": "full", "reason": "Reported in time."}, State.APPROVED),
        ({"choice": "partial", "amount": "12.50", "reason": "Half.", "message": "Half of it."}, State.APPROVED),
        ({"choice": "partial", "amount": "12,50", "reason": "Half."}, State.APPROVED),
        ({"choice": "vat", "amount": "7.82", "reason": "The VAT ID is valid."}, State.APPROVED),
        ({"choice": "decline", "message": "The policy allows 30 days."}, State.DECLINED),
        ({"choice": "ask", "message": "Which licence?"}, State.WITH_SUPPORT),
        ({"choice": "refunded_elsewhere", "reason": "Bank transfer."}, State.REFUNDED),
        ({"choice": "close", "reason": "Spam."}, State.CLOSED),
    ],
)
def test_an_agent_decides(desk: Desk, agent: httpx.Client, case: UUID, fields: dict[str, str], state: State) -> None:
    answer = decide(agent, case, **fields)
    assert (answer.status_code, answer.headers.get("location")) == (303, f"/cases/{case}"), answer.text
    assert state_of(desk.records, case) == state
    page = unescape(agent.get(f"/cases/{case}").text)
    assert all(text in page for name, text in fields.items() if name in {"message", "reason"})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Choose what to do."),
        ({"choice": "partial", "reason": "Half."}, "Enter the amount to refund, or the quantity of an item."),
        (
            {"choice": "partial", "amount": "12.50", "item.photo": "1", "reason": "Half."},
            "Enter the amount to refund, or the quantity of an item, but not both.",
        ),
        ({"choice": "partial", "amount": "a lot", "reason": "Half."}, "Enter the amount in EUR, such as 19.99."),
        ({"choice": "partial", "amount": "1.999", "reason": "Half."}, "Enter the amount in EUR, such as 19.99."),
        ({"choice": "partial", "amount": "49.01", "reason": "All."}, "Choose at most 49.00 EUR."),
        ({"choice": "full"}, "Say in “reason” why the rules are overruled."),
        ({"choice": "decline"}, "Write what the customer should read."),
        ({"choice": "close"}, "Write the reason. The customer does not read it."),
        ({"choice": "rematch", "reason": "Invoice."}, "Enter the reference of the right purchase."),
    ],
)
def test_a_wrong_form_keeps_what_was_typed(
    desk: Desk, agent: httpx.Client, case: UUID, fields: dict[str, str], sentence: str
) -> None:
    answer = decide(agent, case, **fields)
    assert answer.status_code == 422
    page = unescape(answer.text)
    assert sentence in page
    assert all(f">{value}</textarea>" in page for name, value in fields.items() if name in {"message", "reason"})
    assert state_of(desk.records, case) == State.WITH_SUPPORT


def test_a_stale_screen_is_refused_and_the_draft_is_kept(
    desk: Desk, agent: httpx.Client, lead: httpx.Client, case: UUID
) -> None:
    fields = fields_of(agent, case, choice="decline", message="A long text that took ten minutes.")
    assert decide(lead, case, choice="ask", message="Which licence?").status_code == 303
    answer = agent.post(f"/cases/{case}/decisions", data=fields)
    assert answer.status_code == 409
    assert "The history of the case has new entries. Nothing was decided." in unescape(answer.text)
    assert "A long text that took ten minutes." in agent.get(f"/cases/{case}").text
    assert state_of(desk.records, case) == State.WITH_SUPPORT


def test_the_same_form_sent_twice_is_one_decision(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    fields = fields_of(agent, case, choice="decline", message="No.")
    for _ in range(2):
        assert agent.post(f"/cases/{case}/decisions", data=fields).status_code == 303
    with desk.records.work() as work:
        assert len(work.support_decisions.for_case(case)) == 1


def test_a_draft_is_kept_for_each_agent_until_the_decision(
    desk: Desk, agent: httpx.Client, lead: httpx.Client, case: UUID
) -> None:
    fields = fields_of(agent, case, choice="decline", message="A draft.") | {"do": "save"}
    assert agent.post(f"/cases/{case}/decisions", data=fields).status_code == 303
    assert ">A draft.</textarea>" in agent.get(f"/cases/{case}").text
    assert "A draft." not in lead.get(f"/cases/{case}").text
    assert decide(agent, case, choice="decline", message="Final.").status_code == 303
    with desk.records.work() as work:
        assert work.run("select count(*) from decision_drafts").scalar_one() == 0


def test_above_the_limit_a_lead_confirms_or_rejects(
    desk: Desk, agent: httpx.Client, lead: httpx.Client, case: UUID
) -> None:
    with desk.records.work() as work:
        work.sellers.upsert(a_seller(four_eyes_above=Money(1000, "EUR")))
    decide(agent, case, choice="full", reason="Goodwill.")
    assert state_of(desk.records, case) == State.WITH_SUPPORT
    path, revision = re.findall(
        r'action="(/cases/[^"]*/confirm)"><input type="hidden" name="revision" value="([^"]*)"',
        lead.get(f"/cases/{case}").text,
    )[0]
    assert "/confirm" not in agent.get(f"/cases/{case}").text
    assert agent.post(path, data={"do": "confirm", "revision": revision}).status_code == 403
    assert lead.post(path, data={"do": "confirm", "revision": revision}).status_code == 303
    assert state_of(desk.records, case) == State.APPROVED


def test_an_agent_takes_the_own_proposal_back_and_decides_again(
    desk: Desk, agent: httpx.Client, lead: httpx.Client, case: UUID
) -> None:
    with desk.records.work() as work:
        work.sellers.upsert(a_seller(four_eyes_above=Money(1000, "EUR")))
    decide(agent, case, choice="full", reason="Goodwill.")
    (path,) = re.findall(r'action="(/cases/[^"]*/undo)"', agent.get(f"/cases/{case}").text)
    assert "/undo" not in lead.get(f"/cases/{case}").text
    assert lead.post(path).status_code == 409
    assert agent.post(path).status_code == 303
    assert decide(agent, case, choice="decline", message="It is too late.").status_code == 303
    assert state_of(desk.records, case) == State.DECLINED


def test_nobody_confirms_a_decision_of_the_own(desk: Desk, lead: httpx.Client, case: UUID) -> None:
    with desk.records.work() as work:
        work.sellers.upsert(a_seller(four_eyes_above=Money(1000, "EUR")))
    decide(lead, case, choice="full", reason="Goodwill.")
    with desk.records.work() as work:
        (proposed,) = work.support_decisions.for_case(case)
        revision = str(work.support_decisions.revisions([case])[case])
    answer = lead.post(f"/cases/{case}/decisions/{proposed.id}/confirm", data={"do": "confirm", "revision": revision})
    assert answer.status_code == 409
    assert "This is your own decision." in answer.text
    assert state_of(desk.records, case) == State.WITH_SUPPORT


def test_a_decision_above_the_limit_can_be_undone(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    with desk.records.work() as work:
        work.sellers.upsert(a_seller(undo_above=Money(1000, "EUR")))
    decide(agent, case, choice="full", reason="Goodwill.")
    page = agent.get(f"/cases/{case}").text
    (path,) = re.findall(r'action="(/cases/[^"]*/undo)"', page)
    assert agent.post(path).status_code == 303
    assert state_of(desk.records, case) == State.WITH_SUPPORT
    assert agent.post(path).status_code == 303, "An undo that is sent twice is undone once."


def test_the_next_task_is_the_most_urgent_and_each_agent_gets_another(
    desk: Desk, agent: httpx.Client, lead: httpx.Client, case: UUID
) -> None:
    other = a_case(desk.records, State.WITH_SUPPORT)
    with desk.records.work() as work:
        work.run("update support_tasks set due_at = now() + interval '1 hour' where case_id = :case", case=other)
    addresses = [client.post("/tasks/next", data={"seller": ""}).headers["location"] for client in (agent, lead)]
    assert addresses == [f"/cases/{other}", f"/cases/{case}"]
    nothing = agent.post("/tasks/next", data={"seller": ""})
    assert (nothing.status_code, "Nothing waits for you" in nothing.text) == (200, True)


def test_another_agent_sees_whose_the_case_is_and_can_take_over(
    agent: httpx.Client, lead: httpx.Client, case: UUID
) -> None:
    agent.post("/tasks/next", data={"seller": ""})
    page = lead.get(f"/cases/{case}").text
    assert "clara is working on this case." in page
    assert f'action="/cases/{case}/decisions"' not in page
    (path, holder) = re.findall(
        r'action="(/tasks/[^"]*/take)"><input type="hidden" name="holder" value="([^"]*)"', page
    )[0]
    assert lead.post(path, data={"holder": holder}).status_code == 303
    assert "lea is working on this case." in agent.get(f"/cases/{case}").text
    assert "taken by lea" in agent.get("/").text


def test_a_case_that_a_colleague_took_meanwhile_is_not_taken_over_unseen(
    agent: httpx.Client, lead: httpx.Client, case: UUID
) -> None:
    page = lead.get(f"/cases/{case}").text
    (path, holder) = re.findall(
        r'action="(/tasks/[^"]*/take)"><input type="hidden" name="holder" value="([^"]*)"', page
    )[0]
    agent.post("/tasks/next", data={"seller": ""})
    assert lead.post(path, data={"holder": holder}).status_code == 303
    assert "clara is working on this case." in lead.get(f"/cases/{case}").text
    assert "Keep it for ten more minutes" in agent.get(f"/cases/{case}").text


def test_a_task_without_a_case_is_closed_with_a_comment(desk: Desk, agent: httpx.Client) -> None:
    problem = NewSupportTask(
        kind=SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED, subject="ev_1", seller_id="aurora", evidence={"charge": "ch_1"}
    )
    with desk.records.work() as work:
        work.support_tasks.create([problem])
    page = agent.get("/").text
    assert "ch_1" in page
    assert agent.post(f"/tasks/{problem.id}/close", data={"comment": "Seen at Stripe."}).status_code == 303
    assert "ch_1" not in agent.get("/").text
    assert agent.post(f"/tasks/{problem.id}/close", data={"comment": ""}).status_code == 404


def test_a_note_is_for_colleagues_only(desk: Desk, agent: httpx.Client, lead: httpx.Client, case: UUID) -> None:
    fields = {"text": "Called the bank: 4111 1111 1111 1111 <b>", "nonce": str(UUID(int=5))}
    for _ in range(2):
        assert agent.post(f"/cases/{case}/notes", data=fields).status_code == 303
    page = lead.get(f"/cases/{case}").text
    assert page.count("Called the bank: [card number removed] &lt;b&gt;") == 1
    with desk.records.work() as work:
        assert work.run("select count(*) from case_emails where kind = 'question'").scalar_one() == 0


def test_a_batch_is_previewed_started_and_finished(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    other = a_case(desk.records, State.WITH_SUPPORT)
    with desk.records.work() as work:
        numbers = work.case_views.numbers([case, other])
    fields = {"seller": "aurora", "choice": "full", "overrule.outside_window": "yes", "reason": "Recall."}
    mistyped = agent.post("/batches", data=fields | {"cases": f"{numbers[case]}\nMB-1"})
    assert (mistyped.status_code, numbers[case] in mistyped.text) == (422, True)
    created = agent.post("/batches", data=fields | {"cases": "\n".join(numbers.values())})
    assert created.status_code == 303, created.text
    path = created.headers["location"]
    preview = agent.get(path).text
    assert "2 cases, preview" in preview
    assert "98.00 EUR" in preview
    assert state_of(desk.records, case) == State.WITH_SUPPORT
    assert agent.post(f"{path}/start").status_code == 303
    eventually(lambda: "2 cases, finished" in agent.get(path).text)
    assert {state_of(desk.records, id_) for id_ in (case, other)} == {State.APPROVED}
    assert "2 of 2, 2 decided" in agent.get(path).text
    again = agent.post(f"{path}/start")
    assert (again.status_code, "The batch is finished" in again.text) == (409, True)


def test_a_macro_fills_the_form_and_decides_nothing(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    admin = desk.sign_in(Role.SELLER_ADMIN, "aurora")
    macro = {
        "seller": "aurora",
        "name": "Too late",
        "choice": "decline",
        "message": "The <b>policy</b>.",
        "reason": "Late.",
    }
    for text in ("First.", macro["message"]):
        assert admin.post("/macros", data=macro | {"message": text}).status_code == 303
    assert "version 2" in admin.get("/macros").text
    (macro_id,) = re.findall(r'<option value="([^"]*)">Too late</option>', agent.get(f"/cases/{case}").text)
    page = agent.get(f"/cases/{case}", params={"macro": macro_id}).text
    assert '<input type="radio" name="choice" value="decline" checked>' in page
    assert "The &lt;b&gt;policy&lt;/b&gt;.</textarea>" in page
    assert state_of(desk.records, case) == State.WITH_SUPPORT
    retire = {"seller": "aurora", "name": "Too late"}
    assert admin.post("/macros/retire", data=retire).status_code == 303
    assert admin.post("/macros/retire", data=retire).status_code == 404
    assert "Too late" not in agent.get(f"/cases/{case}").text


@pytest.mark.parametrize("changes", [{"name": ""}, {"name": "x" * 101}, {"choice": ""}, {"choice": "pay"}])
def test_a_macro_needs_a_name_and_a_choice(desk: Desk, changes: dict[str, str]) -> None:
    admin = desk.sign_in(Role.SELLER_ADMIN, "aurora")
    macro = {"seller": "aurora", "name": "Too late", "choice": "decline", "message": "Typed text."}
    answer = admin.post("/macros", data=macro | changes)
    assert (answer.status_code, "Typed text.</textarea>" in answer.text) == (422, True)


def choices_of(client: httpx.Client, case: UUID) -> list[str]:
    return re.findall(r'name="choice" value="(\w+)"', client.get(f"/cases/{case}").text)


def test_two_people_record_the_outcome_of_an_unknown_refund(
    desk: Desk, agent: httpx.Client, lead: httpx.Client, case: UUID
) -> None:
    with desk.records.work() as work:
        payment = work.decision_inputs.purchases([case])[case].payments[0]
        work.run(
            "insert into refund_operations (case_id, attempt, provider, charge, amount, currency, key, payload_hash, is_last,"
            " first_sent_at, last_sent_at, status) values (:case, 1, :provider, :charge, 4900, 'EUR', 'mb_1', '', true,"
            " now() - interval '3 days', now() - interval '3 days', 'unknown')",
            case=case,
            provider=payment.provider,
            charge=payment.charge,
        )
    assert choices_of(agent, case) == ["decline", "ask", "refunded_elsewhere", "record_outcome", "close"]
    answer = decide(agent, case, choice="record_outcome", reason="I saw it.")
    assert (answer.status_code, "Choose whether the payment provider made the refund." in answer.text) == (422, True)
    seen = {"choice": "record_outcome", "was_made": "no", "reason": "No refund on the dashboard at noon."}
    assert decide(agent, case, **seen).status_code == 303
    page = unescape(lead.get(f"/cases/{case}").text)
    assert "The refund was certainly not made." in page
    assert seen["reason"] in page
    proposal = page.split(f'action="/cases/{case}/decisions/')[1]
    revision = re.search(r'name="revision" value="([^"]*)"', proposal)
    assert revision
    path = f"/cases/{case}/decisions/{proposal.split('/')[0]}/confirm"
    assert lead.post(path, data={"revision": revision[1], "do": "confirm"}).status_code == 303
    assert choices_of(agent, case)[:3] == ["full", "partial", "vat"]
    with desk.records.work() as work:
        assert [operation.status for operation in work.refund_operations.for_cases([case])[case]] == ["absent"]
