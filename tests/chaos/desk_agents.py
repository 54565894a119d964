"""Agents who work on the desk through HTTP, each in a thread: they take tasks, save drafts, decide, confirm and undo.

Each agent notes what it sent and what the desk answered. The final checks compare these notes with the records.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import NamedTuple, Self
from uuid import UUID, uuid4

import httpx

from domain.case_revisions import CaseRevision
from domain.errors import MoneybackError
from domain.requests import Channel
from producers import decisions
from records import DatabaseDownError, Records
from tests.chaos.desk_pages import CasePage, Form, read_case_page
from tests.chaos.support_cases import PASSWORD, Agent
from tests.chaos.timers import LEASE_SECONDS

TIMEOUT = 30.0  # seconds; longer than the desk or the database is frozen
RETRY_DELAY = 0.4  # seconds before a request without an answer is sent again, with the same key
PATIENCE = 60.0  # seconds after the end of the run, in which an agent still repeats a request without an answer
FORM = {"content-type": "application/x-www-form-urlencoded"}  # httpx sends no type with a form that has no field
THINKING = 0.3  # seconds; the longest pause between two steps of an agent

DECIDED, OUTDATED, REFUSED = 303, 409, 422


class SentDecision(NamedTuple):
    """A decision that an agent sent."""

    case: UUID
    agent: str
    key: str
    revision: str
    is_stale: bool
    """True if the agent had seen a newer row of the history, and sent the old revision on purpose."""
    status: int | None
    """The status of the answer; None if there was no answer until the end."""


class SentConfirmation(NamedTuple):
    """A confirmation of the decision of another agent."""

    decision: UUID
    agent: str
    revision: str
    status: int | None


@dataclass
class Notes:
    """What the agents sent, and what they know from the answers."""

    decisions: list[SentDecision] = field(default_factory=list)
    confirmations: list[SentConfirmation] = field(default_factory=list)
    undone: list[UUID] = field(default_factory=list)
    """The decisions that the desk undid, as its answers say."""
    drafts: dict[tuple[str, UUID], set[str | None]] = field(default_factory=dict)
    """For each agent and case, the text of the draft. None means no draft. There are several texts if a request got no answer."""
    errors: list[str] = field(default_factory=list)
    steps: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Notes") -> None:
        """Add the notes of another agent."""
        self.decisions += other.decisions
        self.confirmations += other.confirmations
        self.undone += other.undone
        self.drafts |= other.drafts
        self.errors += other.errors
        self.steps += other.steps


class _NoAnswerError(Exception):
    """The desk did not answer until the end of the run."""


class WorkingAgent:
    """One agent with a session of the desk."""

    def __init__(
        self, agent: Agent, url: str, records: Records, cases: Sequence[UUID], recent: deque[UUID], rng: Random
    ) -> None:
        self.notes = Notes()
        self._agent, self._records, self._cases, self._recent, self._rng = agent, records, cases, recent, rng
        self._http = httpx.Client(base_url=url, headers={"origin": url, **FORM}, timeout=TIMEOUT)
        self._texts = count(1)
        self._late: dict[UUID, set[str | None]] = {}
        """The drafts that the desk may still store, because a request timed out."""
        self._kept: dict[UUID, CasePage] = {}
        """Pages that the agent opened before, and still has in another tab of the browser."""
        self._pause: Callable[[float], object] = time.sleep
        self._is_over: Callable[[], bool] = lambda: False

    def sign_in(self) -> None:
        """Sign in with the form."""
        answer = self._http.post("/sign-in", data={"email": self._agent.email, "password": PASSWORD, "code": ""})
        assert answer.status_code == DECIDED, answer.text

    def work(self, ended: threading.Event, is_over: Callable[[], bool]) -> None:
        """Take step after step until ``ended`` is set. ``is_over`` says when an agent no longer repeats its last request."""
        self._pause, self._is_over = ended.wait, is_over
        with suppress(_NoAnswerError):
            while not ended.wait(self._rng.uniform(0, THINKING)):
                self._step()
        self._http.close()

    def _step(self) -> None:
        kind = self._rng.choices(
            (self._take_next, self._look_at_any, self._send_kept_page, self._write_as_customer), (45, 33, 20, 2)
        )[0]
        self.notes.steps[kind.__name__.strip("_")] += 1
        kind()

    # Steps

    def _take_next(self) -> None:
        answer, _ = self._send("POST", "/tasks/next", {})
        assert answer.status_code in {DECIDED, httpx.codes.OK}, answer.text
        path = answer.headers.get("location", "")
        if path.startswith("/cases/"):
            self.notes.steps["taken by next"] += 1
            self._handle(UUID(path.removeprefix("/cases/")))

    def _look_at_any(self) -> None:
        """Look at a case that another agent works on, or at any case."""
        is_recent = self._recent and self._rng.random() < 0.7
        self._handle(self._rng.choice(list(self._recent) if is_recent else self._cases))

    def _send_kept_page(self) -> None:
        """Decide on a page that was opened earlier, although the agent has seen the case again, or even decided since then."""
        if self._kept:
            case = self._rng.choice(list(self._kept))
            kept, newest = self._kept.pop(case), self._take_over(case)
            if newest.decide and self._rng.random() < 0.5:
                self._decide(case, newest.decide, newest.revision)
                newest = self._open(case)
            if kept.decide:
                self._decide(case, kept.decide, newest.revision)

    def _write_as_customer(self) -> None:
        """Let the customer write something, so that the pages of all agents are outdated."""
        case, key = self._rng.choice(self._cases), str(uuid4())
        submission = decisions.AnswerSubmission(
            case_id=case, text="I have found the receipt.", channel=Channel.API, source="customer", key=key
        )
        with suppress(*DatabaseDownError, MoneybackError):  # support may have decided, or another customer writes now
            decisions.answer(self._records, submission)

    def _handle(self, case: UUID) -> None:
        page = self._take_over(case) if self._rng.random() < 0.6 else self._open(case)
        if page.confirm and self._rng.random() < 0.9:
            self._confirm(page.confirm)
        elif page.undo and self._rng.random() < 0.3:
            self._undo(page.undo)
        elif page.decide:
            self._recent.append(case)
            self._work_on(case, page, page.decide)

    def _take_over(self, case: UUID) -> CasePage:
        """Take the task of the case, also from another agent, and return the page of the case."""
        page = self._open(case)
        if page.take:
            self._send("POST", page.take.action, page.take.fields)
            page = self._open(case)
        return page

    def _work_on(self, case: UUID, page: CasePage, form: Form) -> None:
        kinds = {"decide": 45, "save": 18, "both": 12, "keep": 20, "wait": 6, "release": 6}
        kind = self._rng.choices(list(kinds), list(kinds.values()))[0]
        self.notes.steps[kind] += 1
        if kind in {"save", "both"}:
            self._save(case, form)
        if kind == "keep":
            self._kept[case] = page
        if kind == "wait":  # until the task is no longer the agent's, so that another agent takes it
            self._pause(LEASE_SECONDS * 1.2)
        if kind == "release" and page.release:
            self._send("POST", page.release.action, {})
        if kind in {"decide", "both", "wait"}:
            self._decide(case, form, page.revision)

    # Requests

    def _open(self, case: UUID) -> CasePage:
        answer, _ = self._send("GET", f"/cases/{case}")
        if answer.status_code != httpx.codes.OK:
            self.notes.errors.append(f"The page of case {case} has the status {answer.status_code}.")
            return CasePage()
        page, known = read_case_page(answer.text), self._drafts(case)
        shown = page.decide.fields.get("message", "").strip() or None if page.decide else None
        if page.decide and shown not in known:
            self.notes.errors.append(f"{self._agent.name} sees the draft {shown} of case {case}, but wrote {known}.")
        return page

    def _save(self, case: UUID, form: Form) -> None:
        fields = form.fields | {"choice": "ask", "message": self._new_text(), "do": "save"}
        self._post_form(case, form, fields)

    def _decide(self, case: UUID, form: Form, newest: str) -> None:
        """Send a decision. ``newest`` is the newest revision of the case that the agent has seen."""
        fields = form.fields | self._choice(form) | {"do": "decide"}
        revision = fields["revision"]
        is_stale = bool(newest) and CaseRevision.parse(newest).seq > CaseRevision.parse(revision).seq
        sent = SentDecision(case, self._agent.name, fields["nonce"], revision, is_stale, status=None)
        try:
            sent = sent._replace(status=self._post_form(case, form, fields))
        finally:
            self.notes.decisions.append(sent)

    def _post_form(self, case: UUID, form: Form, fields: dict[str, str]) -> int:
        """Send the decision form, and note which draft the desk has afterwards."""
        before, text = self._drafts(case), fields["message"]
        after: set[str | None] = {text, None} if fields["do"] == "decide" else {text}
        self.notes.drafts[self._agent.name, case] = before | after
        answer, was_late = self._send("POST", form.action, fields)
        is_decided = fields["do"] == "decide" and answer.status_code == DECIDED
        late = self._late.setdefault(case, set())
        late |= after if was_late else set()
        if answer.status_code in {DECIDED, OUTDATED, REFUSED}:
            self.notes.drafts[self._agent.name, case] = {None if is_decided else text} | late
        else:
            self.notes.errors.append(f"A decision about case {case} has the status {answer.status_code}.")
        return answer.status_code

    def _confirm(self, form: Form) -> None:
        do = self._rng.choices(("confirm", "reject"), (75, 25))[0]
        decision = UUID(form.action.split("/")[-2])
        sent = SentConfirmation(decision, self._agent.name, form.fields["revision"], None)
        try:
            answer, _ = self._send("POST", form.action, form.fields | {"do": do})
            sent = sent._replace(status=answer.status_code)
        finally:
            if do == "confirm":
                self.notes.confirmations.append(sent)

    def _undo(self, form: Form) -> None:
        answer, _ = self._send("POST", form.action, {})
        if answer.status_code == DECIDED:
            self.notes.undone.append(UUID(form.action.split("/")[-2]))

    def _send(self, method: str, path: str, fields: dict[str, str] | None = None) -> tuple[httpx.Response, bool]:
        """Send a request until it is answered. Return the answer, and whether the desk may still carry out an earlier copy."""
        was_late = False
        while True:
            try:
                answer = self._http.request(method, path, data=fields)
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    return answer, was_late
                self.notes.steps[f"status {answer.status_code}"] += 1
            except httpx.TransportError as error:
                was_late |= isinstance(error, httpx.ReadTimeout)
                self.notes.steps["no answer"] += 1
            if self._is_over():
                raise _NoAnswerError
            time.sleep(RETRY_DELAY)

    def _drafts(self, case: UUID) -> set[str | None]:
        return self.notes.drafts.get((self._agent.name, case), {None})

    def _new_text(self) -> str:
        return f"{self._agent.email} writes text {next(self._texts)}."

    def _choice(self, form: Form) -> dict[str, str]:
        """Return what the agent types: any decision, and sometimes an amount that is too high."""
        rng = self._rng
        choices = {"full": 25, "partial": 34, "vat": 4, "decline": 11, "ask": 13, "refunded_elsewhere": 5, "close": 8}
        choice = rng.choices(list(choices), list(choices.values()))[0]
        typed = {"choice": choice, "message": self._new_text(), "reason": "The customer is right."}
        items = [name for name in form.names if name.startswith("item.")]
        if choice == "partial" and items and rng.random() < 0.7:
            return typed | {rng.choice(items): "1"}
        if choice in {"partial", "vat"}:
            return typed | {"amount": f"{rng.choice((100, 1_000, 3_100, 6_000, 11_000)) / 100:.2f}"}
        return typed


class WorkingAgents:
    """All agents, each in a thread. The block ends when every agent has ended its last step."""

    def __init__(self, agents: Sequence[WorkingAgent]) -> None:
        self._agents = agents
        self._ended = threading.Event()
        self._over_at = float("inf")
        self._threads = [threading.Thread(target=self._work, args=[agent]) for agent in agents]
        self.notes = Notes()

    def __enter__(self) -> Self:
        for agent in self._agents:
            agent.sign_in()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def waiting(self) -> int:
        """Return the number of agents who still work."""
        return sum(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """End the work of all agents, and collect their notes. A request without an answer is still repeated for a while."""
        if not self._ended.is_set():
            self._over_at = time.monotonic() + PATIENCE
            self._ended.set()
            for thread in self._threads:
                thread.join()
            for agent in self._agents:
                self.notes.add(agent.notes)

    def _work(self, agent: WorkingAgent) -> None:
        try:
            agent.work(self._ended, lambda: time.monotonic() > self._over_at)
        except Exception as error:  # noqa: BLE001  # the final checks report every error of an agent
            agent.notes.errors.append(f"An agent failed: {error!r}")
