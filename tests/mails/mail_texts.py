"""Texts in seven languages. The program tests.mails.generate writes sample mails with these texts.

The program replaces ``{ref}``, ``{one}`` and ``{two}`` by purchase references.
"""

from typing import NamedTuple


class MailText(NamedTuple):
    """The subject, the text and the refund reason of one mail. ``reason`` is empty if the mail is not a refund request."""

    subject: str
    text: str
    reason: str


class LanguageTexts(NamedTuple):
    """The texts of one language: the customer's name and address, the mails, and the lines that mail programs add."""

    name: str
    address: str
    requests: tuple[MailText, ...]
    """Refund requests."""
    request_without_reference: MailText
    """A request without a purchase reference."""
    short_request: str
    """A short request. In the sample mails, a quotation of ``receipt`` follows below this text."""
    thanks: str
    """A thank-you, which is not a refund request."""
    question: str
    """A question that is not a refund request."""
    request_for_two_purchases: str
    """A request for two purchases."""
    gmail_quote_line: str
    """Gmail's line above a quotation."""
    thunderbird_quote_line: str
    """Thunderbird's line above a quotation."""
    gmail_forward_line: str
    """Gmail's line above a forwarded mail."""
    apple_forward_line: str
    """Apple Mail's line above a forwarded mail."""
    outlook_labels: tuple[str, str, str, str]
    """Outlook's words for From, Sent, To and Subject."""
    iphone_line: str
    """The line that an iPhone adds below a mail."""
    receipt: str
    """The text of the seller's e-mail about the purchase. Some sample mails quote this text."""
    out_of_office: MailText
    """An out-of-office reply."""
    charsets: tuple[str, ...]
    """The charsets that mail programs use for this language."""


TEXTS = {
    "en": LanguageTexts(
        name="Maud Okafor",
        address="maud.okafor@gmail.com",
        requests=(
            MailText(
                "Refund request",
                "Hello,\n\nyou charged my card again last week for another year. I cancelled in March and do not want "
                "this renewal. Please refund it, my reference number is {ref}.\n\nKind regards\nMaud Okafor",
                "unwanted_renewal",
            ),
            MailText(
                "Program does not start",
                "Hi there,\n\nI bought Aurora Photo on Sunday (order {ref}) and it crashes every time I open a picture. "
                "Your FAQ did not help. I'd like my money back please.\n\nMaud",
                "technical_issue",
            ),
            MailText(
                "Money back",
                "Good morning,\nI must have clicked twice: I was charged twice for the same licence.\n"
                "Please give me back one of the payments.\nOrder number: {ref}\n\nThanks, Maud Okafor",
                "duplicate_order",
            ),
        ),
        request_without_reference=MailText(
            "I want my money back",
            "Hello, I bought your photo program last week and I'm not happy with it at all. How do I get a refund? "
            "I can't find any order number.\n\nMaud",
            "dissatisfied",
        ),
        short_request="Please refund this, I don't need it.",
        thanks="Thank you so much, that was quick!\n\nMaud",
        question="Can I use the licence on two computers? I have a desktop and a laptop.\n\nMaud",
        request_for_two_purchases="Please refund both orders, {one} and {two}. I ordered by accident.",
        gmail_quote_line="On Sun, 14 Jun 2026 at 18:03, Aurora Software <help@aurora.example> wrote:",
        thunderbird_quote_line="On 14.06.26 18:03, Aurora Software wrote:",
        gmail_forward_line="---------- Forwarded message ---------",
        apple_forward_line="Begin forwarded message:",
        outlook_labels=("From", "Sent", "To", "Subject"),
        iphone_line="Sent from my iPhone",
        receipt="Thank you for your purchase of Aurora Photo 4.\nReference number: {ref}\nAmount: EUR 49.00",
        out_of_office=MailText(
            "Automatic reply: Refund", "I am out of the office until 29 June with limited access to mail.", ""
        ),
        charsets=("utf-8", "us-ascii", "windows-1252"),
    ),
    "de": LanguageTexts(
        name="Jörg Müller",
        address="joerg.mueller@gmx.de",
        requests=(
            MailText(
                "Rückerstattung",
                "Sehr geehrte Damen und Herren,\n\nleider wurde mein Abo automatisch verlängert, obwohl ich das nicht "
                "möchte. Bitte erstatten Sie mir den Betrag. Meine Referenznummer lautet {ref}.\n\n"
                "Mit freundlichen Grüßen\nJörg Müller",
                "unwanted_renewal",
            ),
            MailText(
                "Programm läuft nicht",
                "Hallo,\n\nich habe am Sonntag Aurora Photo gekauft (Bestellnummer {ref}). Es lässt sich auf meinem Rechner "
                "nicht installieren, es kommt immer eine Fehlermeldung. Ich hätte gern mein Geld zurück.\n\nGruß, Jörg Müller",
                "technical_issue",
            ),
            MailText(
                "Widerruf",
                "Guten Tag,\nhiermit widerrufe ich meine Bestellung {ref} vom 12.06.2026. Ich habe das falsche Produkt "
                "bestellt.\nBitte überweisen Sie den Kaufpreis zurück.\n\nJörg Müller\nTel. 0221 5554433",
                "wrong_product",
            ),
        ),
        request_without_reference=MailText(
            "Geld zurück",
            "Hallo, ich bin mit dem Programm überhaupt nicht zufrieden und möchte mein Geld zurück. Eine Bestellnummer "
            "finde ich nicht mehr.\n\nJörg Müller",
            "dissatisfied",
        ),
        short_request="Bitte erstatten Sie mir das.",
        thanks="Vielen Dank für die schnelle Hilfe!\n\nJörg Müller",
        question="Guten Tag, kann ich die Lizenz auch auf meinem Notebook benutzen?\n\nJörg Müller",
        request_for_two_purchases="Bitte erstatten Sie mir beide Bestellungen: {one} und {two}.",
        gmail_quote_line="Am So., 14. Juni 2026 um 18:03 Uhr schrieb Aurora Software <help@aurora.example>:",
        thunderbird_quote_line="Am 14.06.26 um 18:03 schrieb Aurora Software:",
        gmail_forward_line="---------- Weitergeleitete Nachricht ---------",
        apple_forward_line="Anfang der weitergeleiteten Nachricht:",
        outlook_labels=("Von", "Gesendet", "An", "Betreff"),
        iphone_line="Von meinem iPhone gesendet",
        receipt="Vielen Dank für Ihren Kauf von Aurora Photo 4.\nReferenznummer: {ref}\nBetrag: 49,00 EUR",
        out_of_office=MailText("Abwesenheitsnotiz: Rückerstattung", "Ich bin bis zum 29. Juni nicht im Büro.", ""),
        charsets=("utf-8", "iso-8859-1", "iso-8859-15", "windows-1252"),
    ),
    "fr": LanguageTexts(
        name="Éloïse Lefèvre",
        address="eloise.lefevre@orange.fr",
        requests=(
            MailText(
                "Demande de remboursement",
                "Bonjour,\n\nmon abonnement a été renouvelé automatiquement alors que je n'en veux plus. Je souhaite être "
                "remboursée. Le numéro de commande est {ref}.\n\nCordialement,\nÉloïse Lefèvre",
                "unwanted_renewal",
            ),
            MailText(
                "Logiciel inutilisable",
                "Bonjour,\n\nj'ai acheté Aurora Photo dimanche (référence : {ref}) mais il ne fonctionne pas sur mon Mac. "
                "Merci de me rembourser.\n\nÉloïse",
                "technical_issue",
            ),
            MailText(
                "Rien reçu",
                "Bonjour,\nje n'ai jamais reçu ma clé de licence. Je demande donc le remboursement de la commande n° {ref}.\n"
                "Bien à vous\nÉloïse Lefèvre",
                "not_delivered",
            ),
        ),
        request_without_reference=MailText(
            "Remboursement",
            "Bonjour, je suis très déçue par votre logiciel et je voudrais être remboursée. Je ne retrouve pas le numéro.\n"
            "Éloïse",
            "dissatisfied",
        ),
        short_request="Merci de me rembourser cet achat.",
        thanks="Merci beaucoup pour votre rapidité !\n\nÉloïse",
        question="Bonjour, puis-je utiliser la licence sur deux ordinateurs ?\n\nÉloïse",
        request_for_two_purchases="Merci de me rembourser les deux commandes : {one} et {two}.",
        gmail_quote_line="Le dim. 14 juin 2026 à 18:03, Aurora Software <help@aurora.example> a écrit :",
        thunderbird_quote_line="Le 14/06/2026 à 18:03, Aurora Software a écrit :",
        gmail_forward_line="---------- Message transféré ---------",
        apple_forward_line="Début du message réexpédié :",
        outlook_labels=("De", "Envoyé", "À", "Objet"),
        iphone_line="Envoyé de mon iPhone",
        receipt="Merci pour votre achat d'Aurora Photo 4.\nNuméro de référence : {ref}\nMontant : 49,00 EUR",
        out_of_office=MailText("Réponse automatique : Remboursement", "Je suis absente jusqu'au 29 juin.", ""),
        charsets=("utf-8", "iso-8859-15", "windows-1252"),
    ),
    "es": LanguageTexts(
        name="Iñaki Muñoz",
        address="inaki.munoz@hotmail.es",
        requests=(
            MailText(
                "Solicitud de reembolso",
                "Hola:\n\nse ha renovado mi suscripción sin que yo lo quisiera. Solicito el reembolso. "
                "Mi número de pedido es {ref}.\n\nSaludos,\nIñaki Muñoz",
                "unwanted_renewal",
            ),
            MailText(
                "El programa no va",
                "Buenos días:\n\ncompré Aurora Photo el domingo (referencia {ref}) y no funciona en mi ordenador, se cierra "
                "solo. Quiero que me devuelvan el dinero.\n\nGracias, Iñaki",
                "technical_issue",
            ),
            MailText(
                "Compra duplicada",
                "Hola, he pagado dos veces el mismo programa. Por favor, devuélvanme el importe del pedido {ref}.\nIñaki Muñoz",
                "duplicate_order",
            ),
        ),
        request_without_reference=MailText(
            "Devolución",
            "Hola, no estoy satisfecho con el programa y quiero un reembolso, pero no encuentro el número.\nIñaki",
            "dissatisfied",
        ),
        short_request="Por favor, quiero el reembolso de esto.",
        thanks="¡Muchas gracias por la rapidez!\n\nIñaki",
        question="Hola, ¿puedo usar la licencia en dos ordenadores?\n\nIñaki",
        request_for_two_purchases="Quiero el reembolso de los dos pedidos: {one} y {two}.",
        gmail_quote_line="El dom, 14 jun 2026 a las 18:03, Aurora Software (<help@aurora.example>) escribió:",
        thunderbird_quote_line="El 14/6/26 a las 18:03, Aurora Software escribió:",
        gmail_forward_line="---------- Mensaje reenviado ---------",
        apple_forward_line="Inicio del mensaje reenviado:",
        outlook_labels=("De", "Enviado", "Para", "Asunto"),
        iphone_line="Enviado desde mi iPhone",
        receipt="Gracias por su compra de Aurora Photo 4.\nNúmero de referencia: {ref}\nImporte: 49,00 EUR",
        out_of_office=MailText(
            "Respuesta automática: Reembolso", "Estaré fuera de la oficina hasta el 29 de junio.", ""
        ),
        charsets=("utf-8", "iso-8859-1", "windows-1252"),
    ),
    "it": LanguageTexts(
        name="Niccolò D'Angiò",
        address="niccolo.dangio@libero.it",
        requests=(
            MailText(
                "Richiesta di rimborso",
                "Buongiorno,\n\nl'abbonamento si è rinnovato automaticamente ma non lo voglio più. Chiedo il rimborso. "
                "Il numero d'ordine è {ref}.\n\nCordiali saluti\nNiccolò D'Angiò",
                "unwanted_renewal",
            ),
            MailText(
                "Il programma non parte",
                "Salve,\n\nho comprato Aurora Photo domenica (riferimento: {ref}) ma non funziona, si blocca sempre. "
                "Vorrei indietro i miei soldi.\n\nGrazie, Niccolò",
                "technical_issue",
            ),
            MailText(
                "Recesso",
                "Buongiorno, vorrei recedere dal contratto: ho ordinato per errore la versione sbagliata. Ordine n. {ref}.\n"
                "Niccolò D'Angiò",
                "wrong_product",
            ),
        ),
        request_without_reference=MailText(
            "Rimborso",
            "Salve, sono molto deluso dal programma e vorrei essere rimborsato, ma non trovo il numero dell'ordine.\nNiccolò",
            "dissatisfied",
        ),
        short_request="Vorrei il rimborso di questo acquisto, per favore.",
        thanks="Grazie mille, siete stati velocissimi!\n\nNiccolò",
        question="Buongiorno, posso usare la licenza su due computer?\n\nNiccolò",
        request_for_two_purchases="Vorrei il rimborso di entrambi gli ordini: {one} e {two}.",
        gmail_quote_line="Il giorno dom 14 giu 2026 alle ore 18:03 Aurora Software <help@aurora.example> ha scritto:",
        thunderbird_quote_line="Il 14/06/2026 18:03, Aurora Software ha scritto:",
        gmail_forward_line="---------- Messaggio inoltrato ---------",
        apple_forward_line="Inizio messaggio inoltrato:",
        outlook_labels=("Da", "Inviato", "A", "Oggetto"),
        iphone_line="Inviato da iPhone",
        receipt="Grazie per l'acquisto di Aurora Photo 4.\nNumero di riferimento: {ref}\nImporto: 49,00 EUR",
        out_of_office=MailText("Risposta automatica: Rimborso", "Sono fuori ufficio fino al 29 giugno.", ""),
        charsets=("utf-8", "iso-8859-1", "windows-1252"),
    ),
    "pt": LanguageTexts(
        name="João Conceição",
        address="joao.conceicao@sapo.pt",
        requests=(
            MailText(
                "Pedido de reembolso",
                "Bom dia,\n\na minha subscrição foi renovada sem eu querer. Gostaria de pedir o reembolso. "
                "O número da encomenda é {ref}.\n\nCom os melhores cumprimentos\nJoão Conceição",
                "unwanted_renewal",
            ),
            MailText(
                "O programa não abre",
                "Olá,\n\ncomprei o Aurora Photo no domingo (referência {ref}) e não funciona no meu computador. "
                "Quero o meu dinheiro de volta.\n\nObrigado, João",
                "technical_issue",
            ),
            MailText(
                "Não chegou",
                "Olá, ainda não recebi a chave da licença. Por favor cancelem e devolvam o valor do pedido nº {ref}.\n"
                "João Conceição",
                "not_delivered",
            ),
        ),
        request_without_reference=MailText(
            "Devolução do dinheiro",
            "Olá, não estou satisfeito com o programa e gostaria de um reembolso, mas não encontro o número.\nJoão",
            "dissatisfied",
        ),
        short_request="Gostaria do reembolso desta compra, por favor.",
        thanks="Muito obrigado pela rapidez!\n\nJoão",
        question="Bom dia, posso usar a licença em dois computadores?\n\nJoão",
        request_for_two_purchases="Peço o reembolso das duas encomendas: {one} e {two}.",
        gmail_quote_line="Aurora Software <help@aurora.example> escreveu no dia domingo, 14/06/2026 à(s) 18:03:",
        thunderbird_quote_line="Em 14/06/2026 18:03, Aurora Software escreveu:",
        gmail_forward_line="---------- Mensagem encaminhada ---------",
        apple_forward_line="Início da mensagem reencaminhada:",
        outlook_labels=("De", "Enviada", "Para", "Assunto"),
        iphone_line="Enviado do meu iPhone",
        receipt="Obrigado pela sua compra de Aurora Photo 4.\nNúmero de referência: {ref}\nValor: 49,00 EUR",
        out_of_office=MailText("Resposta automática: Reembolso", "Estou fora do escritório até 29 de junho.", ""),
        charsets=("utf-8", "iso-8859-1", "windows-1252"),
    ),
    "ja": LanguageTexts(
        name="山田 花子",
        address="hanako.yamada@docomo.ne.jp",
        requests=(
            MailText(
                "返金のお願い",
                "ご担当者様\n\nお世話になっております。解約したはずのサブスクリプションが自動更新されていました。"
                "返金をお願いいたします。\n注文番号:{ref}\n\nよろしくお願いいたします。\n山田花子",
                "unwanted_renewal",
            ),
            MailText(
                "ソフトが起動しません",
                "日曜日にAurora Photoを購入しましたが、パソコンで起動しません。注文番号は{ref}です。"
                "返金していただけますでしょうか。\n\n山田",
                "technical_issue",
            ),
            MailText(
                "二重請求について",
                "こんにちは。同じ商品を二重に注文してしまいました。{ref}のほうをキャンセルして払い戻しをお願いします。\n山田花子",
                "duplicate_order",
            ),
        ),
        request_without_reference=MailText(
            "返金希望",
            "先週購入したソフトですが、期待外れだったので返金を希望します。注文番号がわかりません。\n山田花子",
            "dissatisfied",
        ),
        short_request="こちらの返金をお願いします。",
        thanks="早速のご対応ありがとうございました。\n\n山田花子",
        question="ライセンスは2台のパソコンで使えますか。\n\n山田花子",
        request_for_two_purchases="{one}と{two}の両方の返金をお願いします。",
        gmail_quote_line="2026年6月14日(日) 18:03 Aurora Software <help@aurora.example>:",
        thunderbird_quote_line="On 2026/06/14 18:03, Aurora Software wrote:",
        gmail_forward_line="---------- Forwarded message ---------",
        apple_forward_line="転送されたメッセージ:",
        outlook_labels=("差出人", "送信日時", "宛先", "件名"),
        iphone_line="iPhoneから送信",
        receipt="Aurora Photo 4をご購入いただきありがとうございます。\n注文番号: {ref}\n金額: 4,900円",
        out_of_office=MailText("自動返信: 返金", "6月29日まで不在にしております。", ""),
        charsets=("utf-8", "iso-2022-jp", "shift_jis", "euc-jp"),
    ),
}
