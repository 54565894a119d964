"""Tests of the question whether a customer's mail asks for a refund of the purchase that it names."""

import pytest

from producers.mail.parsed_mail import MailKind
from producers.mail.parser import read

TEMPLATE = (
    "From: Ada <ada@example.com>\nSubject: {subject}\nMessage-ID: <1@example.com>\n"
    "Content-Type: text/plain; charset=utf-8\n\n{text}"
)


def kind_of(text: str, subject: str = "MB-2026-0417") -> MailKind:
    return read(TEMPLATE.format(subject=subject, text=text).encode()).kind


@pytest.mark.parametrize(
    "text",
    [
        "I do NOT want a refund for MB-2026-0417, I just have a question.",
        "I don't want a refund. How do I install MB-2026-0417?",
        "Please do not refund MB-2026-0417, everything is fine.",
        "Please ignore my refund request for MB-2026-0417, it works now.",
        "I changed my mind about the refund of MB-2026-0417.",
        "I no longer need a refund for MB-2026-0417.",
        "I'd like to withdraw my refund request for MB-2026-0417.",
        "I have decided to keep it. Please cancel the refund of MB-2026-0417.",
        "Could you send me the licence key for MB-2026-0417 again? I lost it.",
        "I never received my key for MB-2026-0417. Please send it again.",
        "Please send me an invoice for MB-2026-0417.",
        "Where is my refund for MB-2026-0417?",
        "What is the status of my refund MB-2026-0417?",
        "When will I get my refund for MB-2026-0417?",
        "Please cancel my subscription MB-2026-0417 at the end of the term.",
        "I would like to exchange MB-2026-0417 for the Mac version.",
        "Can I swap MB-2026-0417 for the Pro edition instead of a refund?",
        'Ada would like to recall the message, "Refund MB-2026-0417".',
        "Ada reacted to your message: 👍 MB-2026-0417",
        "Liked “Please refund MB-2026-0417”",
        "The order MB-2026-0417 arrived today.",
        "The program MB-2026-0417 crashes. How can I fix it?",
        "This is not a refund request. MB-2026-0417 question.",
        "Nevermind my last mail about the refund of MB-2026-0417",
        "Ich möchte KEINE Erstattung für MB-2026-0417.",
        "Bitte keine Erstattung für MB-2026-0417, ich habe nur eine Frage.",
        "Bitte ignorieren Sie meine Mail zur Erstattung von MB-2026-0417.",
        "Mein Erstattungswunsch zu MB-2026-0417 hat sich erledigt.",
        "Ich ziehe meinen Antrag auf Erstattung für MB-2026-0417 zurück.",
        "Ich möchte das Programm doch behalten, MB-2026-0417, Erstattung nicht nötig.",
        "Bitte schicken Sie mir den Lizenzschlüssel zu MB-2026-0417 nochmal.",
        "Bitte senden Sie mir eine Rechnung zu MB-2026-0417.",
        "Wo bleibt meine Erstattung für MB-2026-0417?",
        "Wann bekomme ich mein Geld für MB-2026-0417?",
        "Hiermit kündige ich mein Abo MB-2026-0417 zum Jahresende.",
        "Ich möchte MB-2026-0417 gegen die Mac-Version umtauschen.",
        'Jörg möchte die Nachricht "Erstattung MB-2026-0417" zurückrufen.',
        "Ada hat auf Ihre Nachricht reagiert: 👍 MB-2026-0417",
        "Je ne veux pas de remboursement pour MB-2026-0417.",
        "Veuillez ignorer ma demande de remboursement MB-2026-0417.",
        "Finalement je le garde, MB-2026-0417. Oubliez le remboursement.",
        "Merci de m'envoyer une facture pour MB-2026-0417.",
        "Pouvez-vous me renvoyer la clé de licence de MB-2026-0417 ?",
        "Où en est mon remboursement MB-2026-0417 ?",
        "Je souhaite résilier mon abonnement MB-2026-0417.",
        "Je voudrais échanger MB-2026-0417 contre la version Mac au lieu d'un remboursement.",
        "No quiero un reembolso de MB-2026-0417.",
        "Por favor, ignoren mi solicitud de reembolso MB-2026-0417.",
        "Prefiero quedármelo, anulen mi solicitud de reembolso MB-2026-0417",
        "¿Pueden enviarme la factura de MB-2026-0417?",
        "¿Dónde está mi reembolso de MB-2026-0417?",
        "¿Pueden reenviarme la clave de MB-2026-0417?",
        "Quiero cancelar mi suscripción MB-2026-0417.",
        "Non voglio un rimborso per MB-2026-0417.",
        "Ignorate la mia richiesta di rimborso MB-2026-0417.",
        "Potete inviarmi la fattura di MB-2026-0417?",
        "A che punto è il mio rimborso MB-2026-0417?",
        "Potete rimandarmi la chiave di MB-2026-0417?",
        "Vorrei cambiare MB-2026-0417 con la versione Mac.",
        "Não quero reembolso da compra MB-2026-0417.",
        "Ignorem o meu pedido de reembolso MB-2026-0417.",
        "Podem enviar a fatura de MB-2026-0417?",
        "Onde está o meu reembolso MB-2026-0417?",
        "Quero cancelar a assinatura MB-2026-0417.",
        "MB-2026-0417の返金は不要です。",
        "MB-2026-0417の返金依頼を取り下げます。",
        "MB-2026-0417の請求書を送ってください。",
        "MB-2026-0417の返金はいつですか。",
        "MB-2026-0417のライセンスキーを再送してください。",
        "MB-2026-0417をMac版に交換してください。",
        "サブスクリプションMB-2026-0417を解約したいです。",
        "先ほどのメールは無視してください。MB-2026-0417の返金",
        "Please stop the refund of MB-2026-0417, I want to keep the software.",
        "The refund for MB-2026-0417 is no longer needed.",
        "I take back my request. MB-2026-0417",
        "Forget my earlier email about MB-2026-0417, problem solved.",
        "Please don't process the refund for MB-2026-0417",
        "A refund of MB-2026-0417 is not necessary.",
        "I am not asking for my money back, MB-2026-0417 just needs an update.",
        "No refund please, just help with MB-2026-0417",
        "Is MB-2026-0417 refundable?",
        "Has my refund for MB-2026-0417 been sent?",
        "Can you confirm that my refund MB-2026-0417 was processed?",
        "Please change the name on the invoice for MB-2026-0417",
        "I lost my serial number for MB-2026-0417",
        "Can I get an upgrade of MB-2026-0417?",
        "How do I activate MB-2026-0417?",
        "Thanks for the refund of MB-2026-0417!",
        "I got my refund for MB-2026-0417, thank you.",
        "Das Geld für MB-2026-0417 ist angekommen, danke für die Erstattung!",
        "Eine Erstattung von MB-2026-0417 ist nicht mehr nötig.",
        "Ich brauche keine Erstattung mehr, MB-2026-0417 läuft jetzt.",
        "Bitte stoppen Sie die Erstattung von MB-2026-0417.",
        "Vergessen Sie bitte meine letzte Mail zu MB-2026-0417, Erstattung.",
        "Habe die Anfrage zu MB-2026-0417 versehentlich geschickt, keine Erstattung bitte.",
        "Können Sie mir den Freischaltcode zu MB-2026-0417 nochmals zusenden?",
        "Ist die Erstattung für MB-2026-0417 schon raus?",
        "Ich möchte mein Abo MB-2026-0417 kündigen.",
        "Merci pour le remboursement de MB-2026-0417 !",
        "Le remboursement de MB-2026-0417 n'est plus nécessaire.",
        "Annulez le remboursement de MB-2026-0417, ça marche maintenant.",
        "Je retire ma demande concernant MB-2026-0417.",
        "Je n'ai pas besoin d'un remboursement pour MB-2026-0417.",
        "Avez-vous déjà remboursé MB-2026-0417 ?",
        "Gracias por el reembolso de MB-2026-0417.",
        "Ya no necesito el reembolso de MB-2026-0417.",
        "Retiro mi solicitud MB-2026-0417, ya funciona.",
        "¿Ya me han reembolsado MB-2026-0417?",
        "Grazie per il rimborso di MB-2026-0417.",
        "Il rimborso di MB-2026-0417 non serve più.",
        "Ritiro la mia richiesta MB-2026-0417, ora funziona.",
        "Avete già rimborsato MB-2026-0417?",
        "Obrigado pelo reembolso de MB-2026-0417.",
        "Já não preciso do reembolso de MB-2026-0417.",
        "Retiro o meu pedido de reembolso MB-2026-0417.",
        "Já reembolsaram MB-2026-0417?",
        "MB-2026-0417の返金ありがとうございました。",
        "MB-2026-0417の返金はもう必要ありません。",
        "MB-2026-0417の返金は済みましたか？",
        "MB-2026-0417の返金申請をキャンセルします。",
    ],
)
def test_a_mail_that_names_a_purchase_without_asking_is_not_a_request(text: str) -> None:
    assert kind_of(text) is MailKind.NOT_A_REQUEST


@pytest.mark.parametrize(
    "text",
    [
        "I do not need the program any more and want a refund for MB-2026-0417.",
        "If you don't refund MB-2026-0417, I will go to court.",
        "I changed my mind, please refund MB-2026-0417.",
        "You ignored my refund request for MB-2026-0417. Refund me now!",
        "I don't want a replacement, I want a refund for MB-2026-0417.",
        "I do not want to keep it. Refund MB-2026-0417 please.",
        "Please cancel my subscription and refund MB-2026-0417.",
        "I hereby withdraw from my contract MB-2026-0417 and request a refund.",
        "I never got the key. I want my money back, MB-2026-0417",
        "My refund for MB-2026-0417 has not arrived. Please refund me.",
        "Ich will das Programm nicht und bitte um Erstattung von MB-2026-0417.",
        "Ich will keinen Gutschein, ich will mein Geld zurück. MB-2026-0417",
        "Ich habe bis heute keine Erstattung erhalten, bitte überweisen Sie das Geld zurück. MB-2026-0417",
        "Hiermit widerrufe ich den Vertrag MB-2026-0417.",
        "Ich habe gekündigt und trotzdem wurde abgebucht. MB-2026-0417 Geld zurück!",
        "Je n'en veux plus et demande le remboursement de MB-2026-0417.",
        "Je voudrais annuler ma commande MB-2026-0417 et être remboursé.",
        "No quiero el programa y pido la devolución de MB-2026-0417.",
        "Quiero cancelar mi pedido MB-2026-0417.",
        "Non voglio il programma e chiedo il rimborso di MB-2026-0417.",
        "Não quero o programa e peço o reembolso de MB-2026-0417.",
        "MB-2026-0417を返金してください。ソフトは不要です。",
        "Could I have a refund for MB-2026-0417?",
        "How can I get a refund for MB-2026-0417?",
        "I cancelled my subscription last year and was charged again, MB-2026-0417.",
        "I am not happy with it. Order number MB-2026-0417",
        "Hi, thanks for your quick reply. I would still like a refund for MB-2026-0417, the program does not work.",
        "I received the wrong product. Please refund MB-2026-0417.",
        "I got my money taken twice. Refund one of the charges, MB-2026-0417",
        "Please confirm the refund of MB-2026-0417.",
        "I would like to return MB-2026-0417 and get my money back.",
        "Please cancel order MB-2026-0417.",
        "Please reverse the charge for MB-2026-0417",
        "I'd like to claim the money-back guarantee for MB-2026-0417",
        "Bitte stornieren Sie MB-2026-0417.",
        "Ich bitte um Rückerstattung des Kaufpreises, MB-2026-0417.",
        "Ich möchte vom Kauf zurücktreten, MB-2026-0417.",
        "Das Programm läuft nicht, ich möchte mein Geld wiederhaben. MB-2026-0417",
        "Je souhaite annuler ma commande MB-2026-0417.",
        "Je demande le remboursement intégral de MB-2026-0417, merci d'avance.",
        "Solicito el reintegro del importe de MB-2026-0417, gracias.",
        "Quiero devolver el producto MB-2026-0417.",
        "Chiedo la restituzione dei soldi per MB-2026-0417.",
        "Vorrei annullare l'ordine MB-2026-0417.",
        "Gostaria de ser reembolsado pela compra MB-2026-0417.",
        "Quero o estorno da compra MB-2026-0417.",
        "MB-2026-0417をキャンセルして返金してください。",
        "MB-2026-0417の返金をお願いできますか？",
        "MB-2026-0417の注文を取り消したいです。",
    ],
)
def test_a_mail_that_asks_is_a_request_whatever_else_it_says(text: str) -> None:
    assert kind_of(text) is MailKind.REQUEST


@pytest.mark.parametrize(
    "text",
    [
        # an earlier wish is reported
        "Last week I requested a refund for MB-2026-0417. Meanwhile my nephew got it running.",
        "Vor drei Tagen hatte ich die Rückzahlung für MB-2026-0417 beantragt. Inzwischen läuft alles bestens.",
        "J'ai demandé hier le remboursement de MB-2026-0417. Depuis, tout marche.",
        "El lunes pedí la devolución de MB-2026-0417. Ahora ya funciona.",
        "Ieri ho chiesto il rimborso di MB-2026-0417. Adesso funziona tutto.",
        "Na semana passada pedi o reembolso de MB-2026-0417. Entretanto já funciona.",
        "昨日MB-2026-0417の返金を依頼しましたが、問題は解決しました。",
        # another person's wish
        "Someone submitted a refund claim for MB-2026-0417 in my name. I know nothing about it.",
        "Mein Bruder hat in meinem Namen eine Erstattung für MB-2026-0417 beantragt. Das war nicht abgesprochen.",
        "Quelqu'un a demandé le remboursement de MB-2026-0417 à ma place, ce n'était pas moi.",
        # the wish is denied
        "There is no reason to refund MB-2026-0417.",
        "Eine Rückzahlung für MB-2026-0417 kommt für mich nicht in Frage.",
        "Nul besoin de rembourser MB-2026-0417, ce n'est pas nécessaire de rembourser.",
        "No hace falta que me devuelvan el importe de MB-2026-0417.",
        "Non occorre rimborsare MB-2026-0417, grazie lo stesso.",
        "Não é preciso reembolsarem MB-2026-0417.",
        "MB-2026-0417の返金は希望いたしません。",
        # the refund has arrived
        "The refund for MB-2026-0417 appeared on my card statement this morning.",
        "Die Erstattung für MB-2026-0417 ist gestern eingegangen, besten Dank.",
        "L'importo di MB-2026-0417 mi è stato rimborsato ieri, tutto a posto.",
        "You refunded MB-2026-0417 by mistake. I had asked for nothing.",
        "Je tenais à vous informer que le remboursement de MB-2026-0417 est là.",
        "Wir brauchen einen Beleg über die erfolgte Rückzahlung zu MB-2026-0417.",
        "MB-2026-0417の返金について、もう少し考えます。",
        # a question about the refund or about the rules
        "Please let me know when the refund of MB-2026-0417 will be on my card.",
        "Können Sie mir sagen, auf welches Konto die Erstattung für MB-2026-0417 geht?",
        "Pouvez-vous me dire quand le remboursement de MB-2026-0417 arrivera ?",
        "¿Me pueden decir cuándo llegará el reembolso de MB-2026-0417?",
        "If the add-on turns out to be useless, can I return MB-2026-0417?",
        "Podem confirmar quanto tempo demora o reembolso de MB-2026-0417?",
        # the wish is put off
        "Please hold off the refund of MB-2026-0417 for now.",
        "Bitte stornieren Sie meinen Antrag zu MB-2026-0417, er war ein Missverständnis.",
        "No tramiten el reembolso de MB-2026-0417 por ahora.",
        # a complaint with another wish
        "MB-2026-0417 was renewed although I had cancelled. Could you send me the cancellation letter?",
        "Die Software MB-2026-0417 stürzt seit dem Update ab. Gibt es dafür eine Lösung?",
        "Le logiciel MB-2026-0417 ne démarre plus depuis lundi. Une mise à jour serait la bienvenue.",
        "La licenza MB-2026-0417 non è ancora arrivata. Quando arriva?",
    ],
)
def test_a_mail_that_only_speaks_of_a_refund_is_not_a_request(text: str) -> None:
    assert kind_of(text) is MailKind.NOT_A_REQUEST


@pytest.mark.parametrize(
    "text",
    [
        "I'd be grateful for a refund of MB-2026-0417, the export never worked.",
        "We are cancelling order MB-2026-0417 and ask for our money back.",
        "Full refund for MB-2026-0417, as agreed.",
        "May I have a reimbursement for MB-2026-0417? I can't open the files.",
        "Es wäre nett, wenn Sie mir das Geld für MB-2026-0417 zurückzahlen könnten.",
        "Wir verlangen die Erstattung von MB-2026-0417, da die Lizenz nicht übertragbar ist.",
        "Rückzahlung MB-2026-0417 erbeten, das Programm ist nicht brauchbar.",
        "Je n'utilise pas ce logiciel, je sollicite donc un remboursement. MB-2026-0417",
        "Serait-il possible de rembourser MB-2026-0417, que je n'ai jamais installé ?",
        "Remboursez MB-2026-0417, cela ne marche pas.",
        "Les ruego que me devuelvan el dinero de MB-2026-0417, no lo he instalado.",
        "¿Podrían reembolsarme MB-2026-0417? No me llegó la clave.",
        "Reembolso de MB-2026-0417, no es compatible con mi equipo.",
        "Mi rimborsereste MB-2026-0417, per favore? Non si apre.",
        "Desidero recedere dall'acquisto MB-2026-0417.",
        "Rimborso MB-2026-0417: il programma non parte.",
        "Pretendo o reembolso de MB-2026-0417 no meu cartão, porque não abre.",
        "Seria possível devolverem o valor de MB-2026-0417? Não consigo instalar.",
        "Reembolso da compra MB-2026-0417, não funciona.",
        "MB-2026-0417を返金していただけませんか。使えませんでした。",
        "MB-2026-0417の返金希望。起動できない。",
        "If you refuse to refund MB-2026-0417, I will tell everybody.",
        "Sollten Sie MB-2026-0417 nicht erstatten, gehe ich zum Verbraucherschutz.",
        "Si vous ne remboursez pas MB-2026-0417, je porte plainte.",
    ],
)
def test_a_wish_beside_a_negation_is_a_request(text: str) -> None:
    assert kind_of(text, "MB-2026-0417") is MailKind.REQUEST


@pytest.mark.parametrize(
    "text",
    ["MB-2026-0417", "It is MB-2026-0417.", "Entschuldigung, MB-2026-0417 war es.", "C'est la commande MB-2026-0417"],
)
def test_a_reply_that_only_names_a_purchase_is_a_request(text: str) -> None:
    """The reply answers the question which purchase the customer means."""
    assert kind_of(text, "Re: Which purchase?") is MailKind.REQUEST


@pytest.mark.parametrize("text", ["👍", "Thanks!", "Danke, alles gut.", "Please send me the key again."])
def test_a_reply_to_a_quoted_receipt_without_a_wish_is_not_a_request(text: str) -> None:
    assert kind_of(f"{text}\n\n> Reference: MB-2026-0417", "Re: Your order") is MailKind.NOT_A_REQUEST


@pytest.mark.parametrize(
    "subject",
    ["Recall: Refund MB-2026-0417", "Rückruf: Erstattung MB-2026-0417", "Rappel : remboursement MB-2026-0417"],
)
def test_the_recall_of_a_mail_is_not_a_request(subject: str) -> None:
    assert kind_of("", subject) is MailKind.NOT_A_REQUEST


@pytest.mark.parametrize(
    ("text", "attribution"),
    [
        (
            "On reflection I would rather wait for the next version.",
            "On Mon, 1 Jun 2026 at 9:00, Shop <a@b.example> wrote:",
        ),
        ("Am Wochenende ging es dann doch.", "Am Mo., 1. Juni 2026 um 09:00 Uhr schrieb Shop <a@b.example>:"),
        ("Le problème vient de mon pare-feu.", "Le lun. 1 juin 2026 à 09:00, Shop <a@b.example> a écrit :"),
        ("El fallo era de mi antivirus.", "El lun, 1 jun 2026 a las 9:00, Shop (<a@b.example>) escribió:"),
        ("Il problema era il mio antivirus.", "Il giorno lun 1 giu 2026 alle ore 09:00 Shop <a@b.example> ha scritto:"),
        ("Em casa já funciona.", "Em seg., 1 de jun. de 2026 às 09:00, Shop <a@b.example> escreveu:"),
    ],
)
@pytest.mark.parametrize("space", ["\n\n", "\n"])
def test_words_above_an_attribution_are_the_customers_words(text: str, attribution: str, space: str) -> None:
    """The words begin as an attribution begins: "On reflection …"."""
    mail = f"{text}{space}{attribution}\n> We have received your request for MB-2026-0417."
    assert kind_of(mail, "Re: Your request") is MailKind.NOT_A_REQUEST


def test_an_attribution_in_three_lines_is_not_the_customers_text() -> None:
    text = (
        "Please refund it.\n\nOn Monday, 1 June 2026,\nShop of Aurora\n<a@b.example> wrote:\n> Your order MB-2026-0417"
    )
    (request,) = read(TEMPLATE.format(subject="Re: Your order", text=text).encode()).requests
    assert request.comment == "Please refund it."


@pytest.mark.parametrize(
    ("subject", "kind"), [("Re: Your order", MailKind.NOT_A_REQUEST), ("Fwd: Your order", MailKind.REQUEST)]
)
def test_only_a_forward_without_own_words_is_a_request(subject: str, kind: MailKind) -> None:
    assert kind_of("\n> Thank you for your order MB-2026-0417.", subject) is kind


@pytest.mark.parametrize(
    "text", ["Order number MB-2026-0417, thanks", "Merci, c'est MB-2026-0417", "MB-2026-0417 ありがとう"]
)
def test_thanks_beside_a_reference_are_part_of_the_answer(text: str) -> None:
    assert kind_of(text, "Re: Which purchase?") is MailKind.REQUEST
