"""Tests of what support must read besides a request: threats, deadlines, minors, other accounts and the like."""

import pytest

from producers.mail.intent import concerns_support
from producers.mail.parsed_mail import MailKind
from producers.mail.parser import read


@pytest.mark.parametrize(
    "text",
    [
        "Refund MB-2026-0417 or my lawyer will contact you.",
        "If I don't get my refund by Friday, I will sue you.",
        "Refund me within 7 days or else. MB-2026-0417",
        "Ich setze Ihnen eine Frist von 14 Tagen. Geld zurück, MB-2026-0417",
        "Sonst übergebe ich die Sache meinem Anwalt.",
        "Sans remboursement, je saisirai un avocat.",
        "Si no me devuelven el dinero, acudiré a mi abogado.",
        "Altrimenti mi rivolgerò a un avvocato.",
        "Se não, falo com o meu advogado.",
        "返金されない場合は弁護士に相談します。",
        "I will start a chargeback with my bank.",
        "Ich werde sonst die Lastschrift zurückbuchen lassen.",
        "Je vais faire opposition auprès de ma banque.",
        "Please also delete my account and all my data.",
        "Bitte löschen Sie auch meine Daten nach DSGVO.",
        "Supprimez aussi mes données.",
        "My 12-year-old son bought this without asking.",
        "Meine Tochter hat das ohne Erlaubnis gekauft, sie ist minderjährig.",
        "Mon fils a acheté ce logiciel.",
        "Please send the money to a different account.",
        "Bitte erstatten Sie auf ein anderes Konto, die Karte ist abgelaufen.",
        "Merci de rembourser sur un autre compte.",
        "I am writing on behalf of my mother.",
        "Im Auftrag meiner Mutter bitte ich um Erstattung.",
        "Je vous écris au nom de ma mère.",
        "You refunded MB-2026-0417 but the refund has not arrived.",
        "Ich habe die Erstattung bis heute nicht erhalten.",
        "Je n'ai toujours pas reçu mon remboursement.",
        "No he recibido el reembolso.",
        "返金がまだ届いていません。",
        "Please refund MB-2026-0417 and the other one.",
    ],
)
def test_a_text_that_support_must_read_is_recognised(text: str) -> None:
    assert concerns_support(text)


@pytest.mark.parametrize(
    "text",
    [
        "Please refund MB-2026-0417, it does not work on my Mac.",
        "Bitte erstatten Sie mir die Bestellung MB-2026-0417.",
        "Merci de me rembourser la commande MB-2026-0417.",
        "Quiero el reembolso del pedido MB-2026-0417.",
        "Vorrei il rimborso dell'ordine MB-2026-0417.",
        "Quero o reembolso da encomenda MB-2026-0417.",
        "MB-2026-0417を返金してください。",
    ],
)
def test_a_plain_request_does_not_concern_support(text: str) -> None:
    assert not concerns_support(text)


def test_a_mail_with_a_threat_is_flagged_and_still_a_request() -> None:
    mail = read(b"From: ada@example.com\n\nRefund MB-2026-0417 or my lawyer will contact you.")
    assert (mail.kind, mail.needs_support) == (MailKind.REQUEST, True)
