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
        # a threat, a deadline, an authority
        "Unless you refund MB-2026-0417, I will tell all my readers.",
        "Zahlen Sie das Geld für MB-2026-0417 bis 3. März zurück.",
        "Falls Sie MB-2026-0417 nicht erstatten, informiere ich die Presse.",
        "Merci de rembourser MB-2026-0417 avant vendredi prochain.",
        "Reembolsen MB-2026-0417 antes del 12 de marzo.",
        "Rimborsate MB-2026-0417 entro venerdì.",
        "Reembolsem MB-2026-0417 até sexta-feira.",
        "3月10日までにMB-2026-0417を返金してください。",
        "I will raise this with the ombudsman.",
        "Ich wende mich an den Verbraucherschutz.",
        "Segnalerò il caso ad Altroconsumo.",
        # a dispute with the bank
        "I am disputing the payment for MB-2026-0417.",
        "Ich habe bei PayPal Käuferschutz beantragt.",
        "Voy a impugnar el cargo de MB-2026-0417.",
        "カード会社に異議を申し立てます。",
        "Our twelve-year-old bought it.",
        # data, a minor, a family member, another destination
        "Please also send me a copy of all data you hold about me.",
        "Bitte erteilen Sie mir Auskunft über meine gespeicherten Daten.",
        "Eliminate anche tutti i miei dati.",
        "The buyer was my nephew, he is just nine.",
        "La compra la hizo mi hija de 9 años.",
        "10歳の娘が購入しました。",
        "I am asking for my mum, who is in hospital.",
        "Escrevo da parte do meu avô.",
        "Minha mãe pediu que eu escrevesse.",
        "Bitte per Überweisung, die alte Karte ist gesperrt.",
        "Merci de faire un virement, ma carte est expirée.",
        "Prefiero el dinero por transferencia.",
        # the refund has not arrived
        "You promised the refund in May and still nothing.",
        "Das Geld ist noch nicht da.",
        "Todavía no veo el reembolso en mi cuenta.",
        # other purchases without a reference, and ranges
        "Please refund MB-2026-0417 and my other two orders.",
        "Bitte erstatten Sie MB-2026-0417 und die übrigen Bestellungen.",
        "Remboursez MB-2026-0417 et mes autres commandes.",
        "Rimborsate MB-2026-0417 e gli altri ordini.",
        "Please refund MB-2026-0417 to MB-2026-0420.",
        "Bitte MB-2026-0417 bis -0419 erstatten.",
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
        "I bought it by mistake and paid by mail order. Please refund MB-2026-0417.",
        "Could you please refund MB-2026-0417? I got your e-mail on Monday.",
        "Sehr geehrte Frau Maier, bitte erstatten Sie MB-2026-0417. Bis heute läuft das Programm nicht.",
        "Je n'ai pas reçu la clé, merci de rembourser MB-2026-0417.",
        "No me llegó la clave. Quiero el reembolso de MB-2026-0417.",
        "Il codice non è arrivato, chiedo il rimborso di MB-2026-0417.",
        "Comprei ontem, não abre. Quero o reembolso de MB-2026-0417.",
        "3月に購入しました。MB-2026-0417の返金を希望します。",
    ],
)
def test_a_plain_request_does_not_concern_support(text: str) -> None:
    assert not concerns_support(text)


def test_a_mail_with_a_threat_is_flagged_and_still_a_request() -> None:
    mail = read(b"From: ada@example.com\n\nRefund MB-2026-0417 or my lawyer will contact you.")
    assert (mail.kind, mail.needs_support) == (MailKind.REQUEST, True)
