"""Tests of statutory withdrawals by mail: each declaration is acknowledged, with the time of its arrival."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from domain.emails import EmailKind
from producers.mail.ingest import MailIngest, Outcome, RawMail
from producers.mail.intent import asks, withdraws
from producers.mail.parsed_mail import MailKind
from producers.mail.sender_authentication import SenderAuthenticator
from records import Records
from records.statutory_withdrawals import StatutoryWithdrawal
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail
from tests.sample_data import a_recent_purchase, store_seller_and_purchases

ADA = "ada@example.com"


def ingest(records: Records, mail: bytes) -> Outcome:
    (outcome,) = MailIngest(OWN_ADDRESSES, SenderAuthenticator(lambda _: None)).take(
        records, [RawMail(mail, len(mail))]
    )
    assert isinstance(outcome, Outcome), outcome
    return outcome


def withdrawals(records: Records) -> list[StatutoryWithdrawal]:
    with records.work() as work:
        ids = list(work.run("select id from cases").scalars())
        return list(work.statutory_withdrawals.get_many(ids).values())


def due_emails(records: Records) -> list[str]:
    with records.work() as work:
        return list(work.run("select kind from case_emails").scalars())


@pytest.mark.parametrize(
    "text",
    [
        "I hereby withdraw from my contract.",
        "I/We (*) hereby give notice that I/We (*) withdraw from my/our (*) contract of sale of the following goods (*)",
        "Hiermit widerrufe(n) ich/wir (*) den von mir/uns (*) abgeschlossenen Vertrag über den Kauf der folgenden Waren (*)",
        "Hiermit widerrufe ich den Kauf vom 12. Juni.",
        "Ich widerrufe meine Bestellung.",
        "Ich mache von meinem Widerrufsrecht Gebrauch.",
        "Je/Nous (*) vous notifie/notifions (*) par la présente ma/notre (*) rétractation du contrat (*)",
        "Je me rétracte de mon achat.",
        "Par la présente, j'exerce mon droit de rétractation.",
        "Por la presente le comunico/comunicamos (*) que desisto de mi/desistimos de nuestro (*) contrato",
        "Ejerzo mi derecho de desistimiento.",
        "Con la presente io/noi (*) notifichiamo il recesso dal mio/nostro (*) contratto di vendita dei seguenti beni",
        "Recedo dal contratto.",
        "Pela presente comunico/comunicamos (*) que resolvo/resolvemos (*) do meu/nosso (*) contrato de compra e venda",
        "Exerço o direito de arrependimento.",
        "クーリングオフを通知します。",
        "契約を解除します。",
        "I hereby give notice that I cancel my contract of sale of the following goods: Aurora Photo",
        "Please note that I am making use of my right to cancel, order of 3 May.",
        "We are withdrawing from the contract of 12 June.",
        "Den Vertrag vom 12.06.2026 über die Software widerrufe ich.",
        "Mein gesetzliches Widerrufsrecht nehme ich hiermit wahr.",
        "Ich erkläre den Widerruf.",
        "Je souhaite faire valoir mon droit de rétractation pour la commande du 12.06.2026.",
        "Hago uso del derecho de desistimiento para el pedido n. 12 del 3.6.2026.",
        "Intendo usufruire del diritto di recesso.",
        "Invoco o direito de livre resolução.",
        "Quero arrepender-me da compra.",
        "クーリング・オフの適用を希望します。",
    ],
)
def test_a_declaration_of_withdrawal_is_recognised(text: str) -> None:
    assert withdraws(text)
    assert asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "What is my right of withdrawal?",
        "Ich widerrufe meinen Antrag auf Erstattung.",
        "Haben Sie eine Widerrufsbelehrung?",
        "I want my money back.",
        "Quel est le délai de rétractation ?",
        "I would like to withdraw my refund request.",
        "I hereby withdraw my consent to the newsletter.",
        "Hiermit widerrufe ich meine Einzugsermächtigung und das Lastschriftmandat.",
        "Je retire mon consentement, je me rétracte de la newsletter.",
        "Revoco mi consentimiento.",
        "Kann ich mein Widerrufsrecht noch nutzen?",
        "Posso ancora esercitare il diritto di recesso?",
        "クーリングオフの申請はできますか。",
    ],
)
def test_other_words_about_withdrawal_are_no_declaration(text: str) -> None:
    assert not withdraws(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hiermit widerrufe ich das SEPA-Mandat.",
        "I withdraw my consent to marketing e-mails.",
        "Je révoque l'autorisation de prélèvement.",
        "Cancelo a autorização de débito direto.",
    ],
)
def test_the_end_of_something_that_is_no_contract_asks_for_no_refund(text: str) -> None:
    assert not asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "I hereby withdraw from my contract.",
        "Hiermit widerrufe(n) ich/wir (*) den von mir/uns (*) abgeschlossenen Vertrag. Bestellt am 12.06.",
        "Je me rétracte de mon achat.",
        "Recedo dal contratto.",
    ],
)
def test_a_withdrawal_without_a_reference_is_acknowledged(records: Records, text: str) -> None:
    outcome = ingest(records, a_mail(text, sender=ADA, subject="Contract"))
    (withdrawal,) = withdrawals(records)
    assert (outcome.kind, withdrawal.name) == (MailKind.WITHDRAWAL, "Ada")
    assert due_emails(records) == [EmailKind.WITHDRAWAL_RECEIVED]
    with records.work() as work:
        assert work.run("select count(*) from inquiry_emails").scalar_one() == 0


def test_a_withdrawal_with_a_reference_is_acknowledged_once(records: Records) -> None:
    purchase = a_recent_purchase(email=ADA)
    store_seller_and_purchases(records, purchase)
    mail = a_mail(f"Hiermit widerrufe ich den Vertrag {purchase.reference}.", sender=ADA)
    assert [ingest(records, mail).kind, ingest(records, mail).kind] == [MailKind.REQUEST, MailKind.REQUEST]
    (withdrawal,) = withdrawals(records)
    assert purchase.reference in withdrawal.statement
    assert due_emails(records) == [EmailKind.WITHDRAWAL_RECEIVED]


@pytest.mark.parametrize(
    ("age", "counts"), [(timedelta(hours=5), True), (timedelta(days=30), False), (-timedelta(days=1), False)]
)
def test_a_withdrawal_counts_from_the_arrival_of_the_mail(records: Records, age: timedelta, *, counts: bool) -> None:
    """The time in the first header Received counts if it is credible. The mail may have waited in its mailbox."""
    arrived_at = (datetime.now(UTC) - age).replace(microsecond=0)
    received = f"Received: from mx.example.net by mx.moneyback.example; {format_datetime(arrived_at)}\r\n".encode()
    ingest(records, received + a_mail("I withdraw from the contract.", sender=ADA))
    (withdrawal,) = withdrawals(records)
    assert (withdrawal.declared_at == arrived_at) is counts


def test_a_name_with_a_link_is_not_repeated_in_the_acknowledgement(records: Records) -> None:
    mail = a_mail("I withdraw from the contract.", sender=ADA).replace(
        b"From: Ada <", b"From: Win at www.spam.example <"
    )
    ingest(records, mail)
    assert [withdrawal.name for withdrawal in withdrawals(records)] == ["ada"]
