"""Tests of wishes for a part of the money in customers' mails. A doubtful wish is for support, never for everything."""

import pytest

from domain.requests import RefundScope
from producers.mail.intent import refund_scope_of


@pytest.mark.parametrize(
    "text",
    [
        "Please refund 20 of the 49 euros for MB-2026-0417.",
        "Please refund just the second licence of MB-2026-0417.",
        "Bitte erstatten Sie mir die Hälfte der Bestellung MB-2026-0417.",
        "Please refund two of the three licences in order MB-2026-0417.",
        "I would like my money back for the plugin only, order MB-2026-0417.",
        "Refund me 15 euros please, order MB-2026-0417",
        "I want 30% of the price back for MB-2026-0417.",
        "Not the whole order please: only the add-on should be refunded. MB-2026-0417",
        "I'd like a refund for one of the five seats, MB-2026-0417.",
        "Please refund everything except the training, MB-2026-0417.",
        "Bitte erstatten Sie mir nur die zweite Lizenz aus MB-2026-0417.",
        "Ich möchte 20 von 49 Euro zurück, MB-2026-0417.",
        "Ich hätte gern 20 Euro zurück für MB-2026-0417.",
        "Bitte erstatten Sie zwei der drei Lizenzen, MB-2026-0417.",
        "Erstatten Sie bitte nicht alles, sondern nur den Filter. MB-2026-0417",
        "Ich bitte um Erstattung von 30 % des Kaufpreises, MB-2026-0417.",
        "Bitte erstatten Sie mir die Versandkosten der Bestellung MB-2026-0417.",
        "Den Rest behalte ich, bitte das Plugin erstatten. MB-2026-0417",
        "Merci de me rembourser la moitié de MB-2026-0417.",
        "Merci de rembourser seulement la deuxième licence, MB-2026-0417.",
        "Merci de me rembourser 20 euros sur les 49, MB-2026-0417.",
        "Merci de rembourser deux licences sur trois, MB-2026-0417.",
        "Je ne veux pas tout rendre, remboursez uniquement le module. MB-2026-0417",
        "Quiero que me devuelvan 20 de los 49 euros, MB-2026-0417.",
        "Quiero el reembolso solo de la segunda licencia, MB-2026-0417.",
        "Solicito la devolución de la mitad, MB-2026-0417.",
        "Por favor reembolsen dos de las tres licencias, MB-2026-0417.",
        "No todo el pedido, sólo el complemento: reembolso. MB-2026-0417",
        "Vorrei il rimborso solo della seconda licenza, MB-2026-0417.",
        "Vorrei il rimborso di metà dell'importo, MB-2026-0417.",
        "Vorrei indietro 20 euro dei 49, MB-2026-0417.",
        "Rimborsate due licenze su tre, MB-2026-0417.",
        "Non tutto: vorrei il rimborso soltanto del plugin, MB-2026-0417.",
        "Quero o reembolso só da segunda licença, MB-2026-0417.",
        "Quero o reembolso de metade do valor, MB-2026-0417.",
        "Quero de volta 20 dos 49 euros, MB-2026-0417.",
        "Reembolsem apenas duas das três licenças, MB-2026-0417.",
        "Não quero devolver tudo, só o plugin. Reembolso, MB-2026-0417.",
        "MB-2026-0417の2つ目のライセンスだけ返金してください。",
        "MB-2026-0417の半額を返金してください。",
        "49ユーロのうち20ユーロを返金してください。MB-2026-0417",
        "3本のうち2本を返金してください。MB-2026-0417",
        "全部ではなく、プラグインのみ返金をお願いします。MB-2026-0417",
        "Please return half the money for MB-2026-0417.",
        "Could I get ten euros back? MB-2026-0417",
        "I kept one licence. Please refund the other one. MB-2026-0417",
        "We need only 3 seats, please refund the remaining seats. MB-2026-0417",
        "a third of the amount back please",
    ],
)
def test_a_wish_for_less_than_everything_is_partial(text: str) -> None:
    assert refund_scope_of(text) is RefundScope.PARTIAL


@pytest.mark.parametrize(
    "text",
    [
        "I only want my money back. MB-2026-0417",
        "I just bought MB-2026-0417 and want a refund.",
        "I just want a refund for MB-2026-0417.",
        "Ich möchte nur mein Geld zurück. MB-2026-0417",
        "Ich habe gestern zwei Lizenzen gekauft und möchte mein Geld zurück. MB-2026-0417",
        "I paid 49.00 EUR and want it back. MB-2026-0417",
        "I bought it half a year ago, please refund MB-2026-0417.",
        "Please refund both orders: MB-2026-0417 and MB-2026-0418",
        "I am not at all happy with it. Refund MB-2026-0417",
        "Ich bin 100 % unzufrieden und möchte mein Geld zurück. MB-2026-0417",
        "Je veux seulement être remboursé. MB-2026-0417",
        "返金だけをお願いします。MB-2026-0417",
        "Please refund the full amount of 49 EUR for MB-2026-0417.",
        "I ordered on 12 de junio de 2026 y quiero el reembolso. MB-2026-0417",
        "I was charged twice, refund one of the charges. MB-2026-0417",
    ],
)
def test_a_wish_for_everything_is_full(text: str) -> None:
    assert refund_scope_of(text) is RefundScope.FULL


def test_a_line_break_inside_a_sentence_does_not_hide_a_partial_wish() -> None:
    text = "Hello, I bought three licences last week. Please refund me just the\nsecond licence, I do not need it."
    assert refund_scope_of(text) is RefundScope.PARTIAL
