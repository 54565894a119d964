"""Every page of the desk in each situation in which it looks different, with the steps that open it. No worker runs.

Each situation has its own seller and users, so that no page shows the cases of another situation.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from playwright.sync_api import Page

from domain.desk_roles import Role
from domain.desk_users import RoleGrant
from domain.money import Money
from domain.purchases import Purchase, PurchaseItem
from domain.reason_codes import ReasonCode
from domain.requests import Channel
from domain.states import State
from domain.support_decisions import Approve, ApprovedAmount, DecidedBy, DecisionAction, Decline
from domain.support_tasks import SupportTaskKind
from producers import decision_batches, decisions
from producers.desk.accounts.totp import Totp, new_recovery_codes, new_seed
from producers.desk.reports import REPORT_PAGES
from producers.mail.ingest import MailIngest, RawMail
from producers.mail.sender_authentication import SenderAuthenticator
from records.decision_batches import BatchStatus
from records.support_tasks import NewSupportTask
from tests.e2e import _desk_pages as pages
from tests.e2e._desk_pages import APPROVE, ASK, DECLINE, PART
from tests.e2e._desk_site import DeskSite
from tests.e2e._page_states import store_operation
from tests.integration._desk_fixtures import PASSWORD
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail
from tests.integration._web_fixtures import a_case
from tests.sample_data import a_payment
from tests.services import eventually

Steps = Callable[[Page, DeskSite], None]
"""A function that opens a page of the desk."""


class PageState(NamedTuple):
    """A situation in which a page looks different."""

    path: str
    """The path of the route that answers with the page."""
    template: str
    steps: Steps


PHOTO = PurchaseItem(id="AP4", name="Aurora Photo 4", quantity=2, amount=2900, tax=463)
FONTS = PurchaseItem(id="AF", name="Aurora Fonts", quantity=1, amount=2000, tax=319)
COMMENT = (
    "I renewed by mistake: the old licence on my second computer was still valid.\n\nI wrote to you on 3 March, but nobody "
    "answered. Please refund at least the second licence."
)
A_WORD_OF_MANY_LETTERS = "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz" * 3


def enter(
    page: Page, desk_site: DeskSite, role: Role = Role.AGENT, *, seller: str = "", name: str = "Clara Weiss"
) -> str:
    """Sign a new user in, with a role for a new seller or for ``seller``. Return the seller."""
    seller = seller or desk_site.add_seller()
    desk_site.enter(page, desk_site.add_user(role, seller, name=name))
    return seller


def add_case(
    desk_site: DeskSite, seller: str, state: State = State.WITH_SUPPORT, **request: Any
) -> tuple[UUID, Purchase]:
    """Store a request for a purchase with two items. Return the case and the purchase."""
    purchase = desk_site.add_purchase(seller, tax=782, items=(PHOTO, FONTS))
    values = {"comment": COMMENT, "locale": "de"} | request
    return a_case(desk_site.site.records, state, purchase=purchase, **values), purchase


def take_case(page: Page, desk_site: DeskSite, **request: Any) -> UUID:
    """Sign an agent in, and let the agent take a new case. Return the case."""
    seller = enter(page, desk_site)
    case, _ = add_case(desk_site, seller, **request)
    pages.take_next_task(page)
    return case


def open_path(path: str, role: Role = Role.AGENT) -> Steps:
    """Return the steps of a user with this role who opens a path of an empty desk."""

    def steps(page: Page, desk_site: DeskSite) -> None:
        enter(page, desk_site, role)
        page.goto(path)

    return steps


def act_on(steps: Steps, *actions: Callable[[Page], object]) -> Steps:
    """Return steps that open a page with ``steps``, and then perform the actions on this page."""

    def with_actions(page: Page, desk_site: DeskSite) -> None:
        steps(page, desk_site)
        for action in actions:
            action(page)
        page.wait_for_load_state()

    return with_actions


def press(button: str) -> Callable[[Page], object]:
    return lambda page: pages.press(page, button)


def fill(**values: str) -> Callable[[Page], None]:
    """Return an action that types values into fields. The names of the arguments are the labels of the fields."""

    def type_values(page: Page) -> None:
        for label, value in values.items():
            page.get_by_label(label.replace("_", " ")).fill(value)

    return type_values


# Without a session


def open_sign_in(page: Page, _desk_site: DeskSite) -> None:
    page.context.clear_cookies()
    page.goto("/sign-in")


def open_invitation(page: Page, desk_site: DeskSite) -> None:
    user = desk_site.add_user(Role.AGENT, desk_site.add_seller(), name="Nora New")
    with desk_site.site.records.work() as work:
        token = work.desk_users.invite(user, seconds=3600, actor=None)
    page.context.clear_cookies()
    page.goto(f"/invitation/{token}")


# The own account


def open_account_with_totp(page: Page, desk_site: DeskSite) -> None:
    user = add_user_with_password(desk_site)
    with desk_site.site.records.work() as work:
        work.desk_users.set_totp(user, new_seed(), 1, new_recovery_codes(), keep=None)
    desk_site.desk.client_of(user)
    desk_site.enter(page, user)
    page.goto("/account")


def open_two_step_with_totp(page: Page, desk_site: DeskSite) -> None:
    open_account_with_totp(page, desk_site)
    page.goto("/account/two-step")


def open_recovery_codes(page: Page, desk_site: DeskSite) -> None:
    desk_site.enter(page, add_user_with_password(desk_site))
    page.goto("/account/two-step")
    seed = bytes.fromhex(page.locator("input[name=seed]").input_value())
    codes = Totp(desk_site.site.settings.secret_key.get_secret_value())
    page.get_by_label("Code").fill(codes.code(seed, page.evaluate("Date.now() / 1000")))
    page.get_by_label("Current password").fill(PASSWORD)
    pages.press(page, "Turn on")
    page.wait_for_load_state()


def add_user_with_password(desk_site: DeskSite) -> UUID:
    return desk_site.add_user(Role.LEAD, desk_site.add_seller(), name="Lea Lang", password=True)


# The list of tasks


def fill_queue(desk_site: DeskSite, seller: str) -> None:
    """Store three cases, one of them taken by a colleague, and two problems with payments."""
    for comment in (COMMENT, "", A_WORD_OF_MANY_LETTERS):
        case, _ = add_case(desk_site, seller, comment=comment)
    colleague = desk_site.add_user(Role.AGENT, seller, name="Bob Braun")
    problems = [
        NewSupportTask(
            kind=kind,
            subject=uuid4().hex,
            seller_id=seller,
            evidence={"provider": "sandbox", "charge": f"ok_{uuid4().hex}", "amount": 4900, "currency": "EUR"},
        )
        for kind in (SupportTaskKind.INSUFFICIENT_BALANCE, SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED)
    ]
    with desk_site.site.records.work() as work:
        work.support_tasks.create(problems)
        task = work.support_tasks.of_case(case)
        assert task
        work.support_tasks.take(task.id, f"user:{colleague}", seconds=600)


def open_queue(path: str = "/", role: Role = Role.AGENT) -> Steps:
    def steps(page: Page, desk_site: DeskSite) -> None:
        seller = enter(page, desk_site, role)
        fill_queue(desk_site, seller)
        page.goto(path)

    return steps


def open_own_tasks(page: Page, desk_site: DeskSite) -> None:
    seller = enter(page, desk_site)
    fill_queue(desk_site, seller)
    pages.take_next_task(page)
    page.goto("/?view=mine")


def open_full_queue(page: Page, desk_site: DeskSite) -> None:
    """Open a list with more tasks than a page shows."""
    seller = enter(page, desk_site)
    for _ in range(51):
        add_case(desk_site, seller)
    page.goto("/")


# The case


def open_taken_case(page: Page, desk_site: DeskSite) -> None:
    take_case(page, desk_site)


def open_case_as(role: Role, state: State = State.WITH_SUPPORT) -> Steps:
    """Return the steps of a user who opens a case that nobody has taken."""

    def steps(page: Page, desk_site: DeskSite) -> None:
        case, _ = add_case(desk_site, enter(page, desk_site, role), state)
        pages.open_case(page, case)

    return steps


def open_case_of_colleague(page: Page, desk_site: DeskSite) -> None:
    seller = desk_site.add_seller()
    enter(page, desk_site, seller=seller, name="Bob Braun")
    case, _ = add_case(desk_site, seller)
    pages.take_next_task(page)
    enter(page, desk_site, seller=seller)
    pages.open_case(page, case)


def open_partly_refunded_case(page: Page, desk_site: DeskSite) -> None:
    case, purchase = add_case(desk_site, enter(page, desk_site), State.REFUNDED)
    store_operation(desk_site.site, case, purchase, status="paid", amount=1450)
    pages.open_case(page, case)


def open_case_with_several_payments(page: Page, desk_site: DeskSite) -> None:
    seller = enter(page, desk_site)
    payments = tuple(
        a_payment(**payment)
        for payment in (
            {"amount": 2000},
            {"amount": 1400, "method": "paypal"},
            {
                "amount": 1500,
                "method": "gift_card",
                "provider": "shop",
                "charge": f"gift {uuid4().hex}",
                "duplicate": True,
            },
        )
    )
    purchase = desk_site.add_purchase(seller, payments=payments)
    case = a_case(desk_site.site.records, State.WITH_SUPPORT, purchase=purchase, comment=COMMENT)
    pages.open_case(page, case)


def open_case_without_purchase(page: Page, desk_site: DeskSite) -> None:
    enter_for_all_sellers(page, desk_site)
    pages.open_case(page, a_case(desk_site.site.records, State.UNMATCHED, comment=COMMENT))


def open_case_with_long_words(page: Page, desk_site: DeskSite) -> None:
    case = take_case(page, desk_site, comment=A_WORD_OF_MANY_LETTERS)
    add_note(desk_site, case, A_WORD_OF_MANY_LETTERS)
    pages.open_case(page, case)
    pages.decide(page, DECLINE, message=A_WORD_OF_MANY_LETTERS)
    page.wait_for_load_state()


def add_note(desk_site: DeskSite, case: UUID, text: str) -> None:
    with desk_site.site.records.work() as work:
        work.desk.add_note(uuid4(), case, agent="user:bob", agent_name="Bob Braun", text=text)


def ask(page: Page, desk_site: DeskSite) -> UUID:
    """Let an agent ask a question about a new case. Return the case."""
    case = take_case(page, desk_site)
    pages.decide(page, ASK, message="Welche der beiden Lizenzen meinen Sie?")
    pages.open_case(page, case)
    return case


def open_case_with_question(page: Page, desk_site: DeskSite) -> None:
    ask(page, desk_site)


def open_case_with_answers(page: Page, desk_site: DeskSite) -> None:
    case = ask(page, desk_site)
    add_note(desk_site, case, "The customer called. She sounded calm.\nI promised an answer by Friday.")
    for text in ("Die zweite Lizenz, bitte.\nDie erste funktioniert.", "Haben Sie schon entschieden?"):
        submission = decisions.AnswerSubmission(
            case_id=case, text=text, channel=Channel.EMAIL, source="mail", key=uuid4().hex
        )
        decisions.answer(desk_site.site.records, submission)
    pages.open_case(page, case)


def open_undo(page: Page, desk_site: DeskSite) -> None:
    """Open a case while the approval can still be undone. Reload the page to see it without *Undo*."""
    seller = enter(page, desk_site)
    desk_site.set_limits(seller, undo_above=Money(1000, "EUR"))
    case, _ = add_case(desk_site, seller)
    pages.take_next_task(page)
    pages.decide(page, PART, amount="14.50", reason="One licence.", message="Eine Lizenz erstatten wir gern.")
    pages.open_case(page, case)


def open_proposed_case(role: Role, name: str) -> Steps:
    """Return the steps of a user who opens a case in which a decision waits for a second person."""

    def steps(page: Page, desk_site: DeskSite) -> None:
        seller = enter(page, desk_site, Role.LEAD, name="Lea Lang")
        desk_site.set_limits(seller, four_eyes_above=Money(1000, "EUR"))
        case, _ = add_case(desk_site, seller)
        pages.take_next_task(page)
        pages.decide(page, APPROVE, reason="She reported the fault in time.", message="Wir erstatten alles.")
        if name != "Lea Lang":
            enter(page, desk_site, role, seller=seller, name=name)
        pages.open_case(page, case)

    return steps


def open_decided_case(page: Page, desk_site: DeskSite) -> None:
    case = ask(page, desk_site)
    pages.decide(page, DECLINE, message="Ohne Ihre Antwort können wir nichts erstatten.")
    pages.open_case(page, case)


def open_case_with_macro(page: Page, desk_site: DeskSite) -> None:
    seller = enter(page, desk_site)
    add_macro(desk_site, seller)
    add_case(desk_site, seller)
    pages.take_next_task(page)
    page.get_by_label("Macro").select_option(label="Too late")
    page.get_by_role("button", name="Fill in").click()
    page.wait_for_load_state()


def open_withdrawal(page: Page, desk_site: DeskSite) -> None:
    """Open the case of a statutory withdrawal, which the customer declares on the site."""
    seller = enter(page, desk_site)
    purchase = desk_site.add_purchase(seller)
    page.goto(f"{desk_site.site.url}/withdraw?seller={seller}")
    fill(Your_name="Ada Lovelace", Reference_number=purchase.reference, Email_address=purchase.email)(page)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Confirm withdrawal").click()
    number = page.locator("main .code").last.inner_text()
    enter_for_all_sellers(page, desk_site)
    page.goto(f"/cases/{number}")


# Batches and macros

APPROVE_ALL = Approve(
    action=DecisionAction.APPROVE,
    refund=ApprovedAmount(scope="full"),
    overrules=(ReasonCode.OUTSIDE_WINDOW, ReasonCode.SERIAL_REFUNDS),
    reason="Recall of Aurora Photo 4.",
)
DECLINE_ALL = Decline(action=DecisionAction.DECLINE, message="The recall is only for Aurora Photo 4.")


def add_batch(desk_site: DeskSite, seller: str, by: DecidedBy, decision: Approve | Decline = APPROVE_ALL) -> UUID:
    cases = [add_case(desk_site, seller)[0] for _ in range(3)]
    return decision_batches.preview(desk_site.site.records, seller, cases, decision, by=by)


CLARA = DecidedBy(id="user:clara", name="Clara Weiss")


def open_batch(*, start: bool = False, above_limit: bool = False, decision: Approve | Decline = APPROVE_ALL) -> Steps:
    def steps(page: Page, desk_site: DeskSite) -> None:
        seller = enter(page, desk_site, Role.LEAD, name="Lea Lang")
        if above_limit:
            desk_site.set_limits(seller, four_eyes_above=Money(1000, "EUR"))
        records = desk_site.site.records
        batch = add_batch(desk_site, seller, CLARA, decision)
        if start and decision_batches.start(records, batch, by=CLARA) is BatchStatus.RUNNING:
            eventually(lambda: decision_batches.run_once(records) == 0)
        page.goto(f"/batches/{batch}")

    return steps


def open_batches(page: Page, desk_site: DeskSite) -> None:
    seller = enter(page, desk_site)
    for decision in (APPROVE_ALL, DECLINE_ALL):
        add_batch(desk_site, seller, CLARA, decision)
    page.goto("/batches")


def add_macro(desk_site: DeskSite, seller: str) -> None:
    fields = {"choice": "decline", "message": "Die Frist von 30 Tagen ist abgelaufen.", "reason": "Too late."}
    with desk_site.site.records.work() as work:
        work.desk.save_macro(seller, "Too late", fields, created_by="Mia Maier")


def open_macros(page: Page, desk_site: DeskSite) -> None:
    add_macro(desk_site, enter(page, desk_site, Role.SELLER_ADMIN))
    page.goto("/macros")


# Users, events and e-mails


def open_users(path: str) -> Steps:
    def steps(page: Page, desk_site: DeskSite) -> None:
        seller = enter(page, desk_site, Role.SELLER_ADMIN, name="Mia Maier")
        for role, name in ((Role.AGENT, "Clara Weiss"), (Role.LEAD, "Lea Lang"), (Role.AUDITOR, "Otto Ott")):
            desk_site.desk.client_of(desk_site.add_user(role, seller, name=name))
        page.goto(path)

    return steps


def open_email(page: Page, desk_site: DeskSite, *, take: bool = False) -> None:
    """Open an e-mail that support must answer."""
    enter_for_all_sellers(page, desk_site)
    mail = a_mail("How do I install it on a second computer?\n\nAda", subject="A question about my order")
    MailIngest(OWN_ADDRESSES, SenderAuthenticator(lambda _: None)).take(
        desk_site.site.records, [RawMail(mail, len(mail))]
    )
    with desk_site.site.records.work() as work:
        task = work.run(
            "select id from support_tasks where kind = 'flagged_mail' order by created_at desc limit 1"
        ).scalar_one()
    page.goto(f"/tasks/{task}")
    if take:
        pages.press(page, "Take this task")
        page.goto(f"/tasks/{task}")


def enter_for_all_sellers(page: Page, desk_site: DeskSite) -> None:
    number = uuid4().hex[:6]
    desk_site.enter(
        page, desk_site.desk.add_user(f"ole{number}@desk.example", RoleGrant(Role.AGENT, ""), name="Ole Olsen")
    )


def open_problem(page: Page, desk_site: DeskSite) -> None:
    """Open a task about a payment that differs at the provider."""
    fill_queue(desk_site, enter(page, desk_site))
    page.goto("/")
    page.get_by_role("link", name="Problem with a payment").first.click()
    page.wait_for_load_state()


def snooze(page: Page, desk_site: DeskSite) -> None:
    """Snooze a task until the customer answers, and open the list of such tasks."""
    take_case(page, desk_site)
    page.get_by_text("Snooze this task").click()
    page.get_by_label("the customer answers").check()
    pages.press(page, "Snooze")
    page.goto("/?view=snoozed")


def open_provider(page: Page, desk_site: DeskSite) -> None:
    """Open what the provider shows about the payment of a case."""
    case = take_case(page, desk_site)
    page.goto(f"/cases/{case}/payments/0/provider")


def lose_database(page: Page, desk_site: DeskSite) -> None:
    """Send a decision while the database is down."""
    take_case(page, desk_site)
    pages.fill_in(page, DECLINE, message="Die Frist von 30 Tagen ist abgelaufen.")
    desk_site.servers.postgres.stop()
    try:
        pages.press(page, "Decide")
        page.wait_for_load_state()
    finally:
        desk_site.servers.postgres.start()


# Reports


def open_report(path: str, *states: State) -> Steps:
    """Return the steps of a lead who opens a report about cases in these states."""

    def steps(page: Page, desk_site: DeskSite) -> None:
        seller = enter(page, desk_site, Role.LEAD, name="Lea Lang")
        for state in states:
            case, purchase = add_case(desk_site, seller, state)
            if state in {State.REFUNDING, State.REFUNDED}:
                store_operation(desk_site.site, case, purchase, status="paid" if state is State.REFUNDED else "pending")
        page.goto(path)

    return steps


CASE, TASKS, TASK, BATCH = "/cases/{case}", "/", "/tasks/{task_id}", "/batches/{batch_id}"

PAGE_STATES: Mapping[str, PageState] = {
    "sign-in": PageState("/sign-in", "sign_in.html", open_sign_in),
    "sign-in-wrong": PageState(
        "/sign-in",
        "sign_in.html",
        act_on(open_sign_in, fill(Email_address="clara@desk.example", Password="wrong"), press("Sign in")),
    ),
    "invitation": PageState("/invitation/{token}", "invitation.html", open_invitation),
    "invitation-wrong": PageState(
        "/invitation/{token}", "invitation.html", act_on(open_invitation, press("Set password"))
    ),
    "account": PageState("/account", "account.html", open_path("/account")),
    "account-two-step": PageState("/account", "account.html", open_account_with_totp),
    "password": PageState("/account/password", "password.html", open_path("/account/password")),
    "password-wrong": PageState(
        "/account/password", "password.html", act_on(open_path("/account/password"), press("Change password"))
    ),
    "two-step": PageState("/account/two-step", "two_step.html", open_path("/account/two-step", Role.LEAD)),
    "two-step-wrong": PageState(
        "/account/two-step",
        "two_step.html",
        act_on(open_path("/account/two-step"), fill(Code="123", Current_password="x"), press("Turn on")),
    ),
    "two-step-change": PageState("/account/two-step", "two_step.html", open_two_step_with_totp),
    "recovery-codes": PageState("/account/two-step", "recovery_codes.html", open_recovery_codes),
    "tasks": PageState(TASKS, "tasks.html", open_queue()),
    "tasks-empty": PageState(TASKS, "tasks.html", open_path("/")),
    "tasks-own": PageState(TASKS, "tasks.html", open_own_tasks),
    "tasks-free": PageState(TASKS, "tasks.html", open_queue("/?view=unclaimed")),
    "tasks-found": PageState(TASKS, "tasks.html", open_queue("/?q=Aurora&amount_from=10&currency=EUR")),
    "tasks-snoozed": PageState(TASKS, "tasks.html", snooze),
    "tasks-many": PageState(TASKS, "tasks.html", open_full_queue),
    "tasks-auditor": PageState(TASKS, "tasks.html", open_queue(role=Role.AUDITOR)),
    "tasks-no-next": PageState("/tasks/next", "no_next_task.html", act_on(open_path("/"), press("Take the next task"))),
    "case": PageState(CASE, "case.html", open_taken_case),
    "case-free": PageState(CASE, "case.html", open_case_as(Role.AGENT)),
    "case-of-colleague": PageState(CASE, "case.html", open_case_of_colleague),
    "case-auditor": PageState(CASE, "case.html", open_case_as(Role.AUDITOR)),
    "case-partly-refunded": PageState(CASE, "case.html", open_partly_refunded_case),
    "case-several-payments": PageState(CASE, "case.html", open_case_with_several_payments),
    "case-without-purchase": PageState(CASE, "case.html", open_case_without_purchase),
    "case-withdrawal": PageState(CASE, "case.html", open_withdrawal),
    "case-long-words": PageState(CASE, "case.html", open_case_with_long_words),
    "case-question": PageState(CASE, "case.html", open_case_with_question),
    "case-answers": PageState(CASE, "case.html", open_case_with_answers),
    "case-undo": PageState(CASE, "case.html", open_undo),
    "case-proposed": PageState(CASE, "case.html", open_proposed_case(Role.LEAD, "Lea Lang")),
    "case-to-confirm": PageState(CASE, "case.html", open_proposed_case(Role.LEAD, "Max Moser")),
    "case-decided": PageState(CASE, "case.html", open_decided_case),
    "case-refunding": PageState(CASE, "case.html", open_case_as(Role.AGENT, State.REFUNDING)),
    "case-macro": PageState(CASE, "case.html", open_case_with_macro),
    "case-wrong": PageState(
        "/cases/{case_id}/decisions", "case.html", act_on(open_taken_case, lambda page: pages.decide(page, DECLINE))
    ),
    "batches": PageState("/batches", "batches.html", open_batches),
    "batches-empty": PageState("/batches", "batches.html", open_path("/batches")),
    "batches-wrong": PageState(
        "/batches", "batches.html", act_on(open_path("/batches"), fill(Case_numbers="MB-1"), press("Show the preview"))
    ),
    "batch-preview": PageState(BATCH, "batch.html", open_batch()),
    "batch-to-confirm": PageState(BATCH, "batch.html", open_batch(start=True, above_limit=True)),
    "batch-finished": PageState(BATCH, "batch.html", open_batch(start=True, decision=DECLINE_ALL)),
    "macros": PageState("/macros", "macros.html", open_macros),
    "macros-wrong": PageState(
        "/macros", "macros.html", act_on(open_path("/macros", Role.SELLER_ADMIN), press("Save the macro"))
    ),
    "users": PageState("/users", "users.html", open_users("/users")),
    "users-wrong": PageState("/users", "users.html", act_on(open_users("/users"), press("Create invitation"))),
    "invitation-link": PageState(
        "/users",
        "invitation_link.html",
        act_on(
            open_users("/users"),
            lambda page: page.get_by_label("Email address").fill(f"{uuid4().hex}@desk.example"),
            lambda page: page.get_by_label("Name", exact=True).fill("Nora New"),
            press("Create invitation"),
        ),
    ),
    "events": PageState("/users/events", "user_events.html", open_users("/users/events")),
    "task-email": PageState(TASK, "task.html", open_email),
    "task-email-taken": PageState(TASK, "task.html", partial(open_email, take=True)),
    "task-problem": PageState(TASK, "task.html", open_problem),
    "provider": PageState("/cases/{case_id}/payments/{position}/provider", "provider.html", open_provider),
    "database-down": PageState("/cases/{case_id}/decisions", "lost_form.html", lose_database),
    "reports": PageState("/reports", "reports.html", open_report("/reports", *State)),
    "reports-empty": PageState("/reports", "reports.html", open_report("/reports")),
    **{
        f"reports-{name}": PageState("/reports/{report}", "reports.html", open_report(f"/reports/{name}", *State))
        for name in REPORT_PAGES
    },
    "not-found": PageState("/cases/{case}", "problem.html", open_path(f"/cases/{UUID(int=9)}")),
    "not-allowed": PageState("/users", "problem.html", open_path("/users")),
}
"""The steps to each situation, by the name of its screenshot."""
