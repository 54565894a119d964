"""Patterns of wishes for a part of the money: the VAT, or less than everything.

The patterns also match doubtful texts, because support decides these cases. No doubtful text may lead to an offer of everything.
"""

from producers.mail.reason_patterns import any_of
from producers.mail.sentences import CURRENCY_CODE

_NUMBER = (
    r"(?:\d{1,4}|one|two|three|four|five|six|seven|eight|nine|ten|ein\w{0,2}|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|"
    r"une?|deux|trois|quatre|cinq|six|sept|huit|neuf|dix|una|uno|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|"
    r"due|tre|quattro|cinque|sette|otto|nove|dieci|um|uma|dois|duas|três|quatro|sete|oito|dez)"
)
"""A number in digits or in words, in the six European languages."""

_CURRENCY = (
    rf"(?:€|\$|£|¥|{CURRENCY_CODE}|euros?|eur|dollars?|dólares|pounds?|quid|yen|yens|ienes|francs?|franken|bucks|"
    r"円|ユーロ|ドル)"
)
_TENS = (
    r"(?:five|ten|fifteen|twenty|thirty|forty|fünf|zehn|fünfzehn|zwanzig|dreißig|vierzig|dix|quinze|vingt|trente|quarante|"
    r"diez|quince|veinte|"
    r"treinta|cuarenta|dieci|quindici|venti|trenta|quaranta|dez|vinte|trinta|quarenta)"
)
_AMOUNT = (
    rf"(?:{_TENS}\s{_CURRENCY}(?!\w)|(?<![\d·,])\d[\d·,']{{0,12}}\s?{_CURRENCY}(?!\w)|{_CURRENCY}\s?\d[\d·,']{{0,12}})"
)
_THE = r"(?:the|my|our|these|those|den|der|die|dem|meinen|les|des|las|los|mis|dei|delle|gli|os|as|meus|minhas)"
_ITEM = (
    r"(?:licen[csç]\w*|lizenz\w*|plug-?ins?|add-?ons?|extensions?|erweiterung\w*|modul\w*|seats?|copy|copies|items?|artikel|"
    r"articles?|"
    r"artículos?|articol\w+|artig\w+|products?|produkte?|produits?|productos?|prodott\w+|produtos?|licenz\w+|"
    r"lizenc\w*|módulos?|complementos?|accessor\w+|extras?|upgrades?|units?|user|users|arbeitspl\w+|postes?|puestos?|"
    r"postazion\w+|"
    r"months?|years?|monate?|jahre?|mois|années?|meses|años?|mesi|anni|anos?)"
)
_ORDINAL = (
    r"(?:first|second|third|fourth|fifth|last|other|extra|additional|[1-9](?:st|nd|rd|th)|erste\w?|zweite\w?|dritte\w?|"
    r"vierte\w?|fünfte\w?|letzte\w?|"
    r"andere\w?|"
    r"zusätzliche\w?|premi[eè]re?|deuxième|seconde?|troisième|derni[eè]re?|autre|primer[oa]?|segund[oa]|tercer[oa]?|últim[oa]|"
    r"otr[oa]|prim[oa]|second[oa]|terz[oa]|ultim[oa]|altr[oa]|primeir[oa]|terceir[oa]|outr[oa])"
)
_ACCESSORY = (
    r"(?:shipping|delivery|handling|postage|insurance|fees?|plug-?ins?|add-?ons?|extension|module|backup|dvd|cd|complement\w*|"
    r"versand\w*|gebühr\w*|zusatz\w*|frais|port|livraison|gastos|envío|spese|spedizione|portes|frete|taxa de)"
)
_ASKED = (
    r"(?:refund(?:ed)?|reimburse\w*|return|pay|give|get|want|(?:rück)?erstatt\w*|zurück|rückzahl\w*|rembours\w*|reembols\w*|"
    r"devol\w+|devu[eé]l\w+|rimbors\w*|restitu\w+|estorn\w*)"
)
_WHOLE = (
    r"(?:refund|reimbursement|money|erstattung|rückerstattung|geld|remboursement|argent|reembolso|dinero|devolución|rimborso|"
    r"soldi|devolução|estorno|dinheiro)"
)
"""The whole money. The words "I only want my money back" are a wish for everything."""

_TO_NOUN = (
    rf"\s(?:{_THE}\b|{_NUMBER}\b|"
    r"(?:the|this|that|a|an|das|dieses?|der|le|la|l'\w+|el|lo|il|o|du|del|della|dello|dell'\w+|do|da)\b)"
)

VAT = any_of(
    r"\b(?:refund|return|reimburse\w*|deduct|remove|claim)\b[^.!?\n]{0,20}\b(?:VAT|sales tax|taxes|the tax)\b",
    r"\b(?:VAT|sales tax) (?:refund|exempt|back|reimbursement|deduction)",
    r"\b(?:mehrwertsteuer|umsatzsteuer|mwst|ust)\b[^!?\n]{0,25}\b(?:erstatt\w*|zurück|rückerstatt\w*|abziehen)",
    r"\berstatt\w*\b[^.!?\n]{0,20}\b(?:mehrwertsteuer|umsatzsteuer|mwst)",
    r"\brembours\w*\b[^.!?\n]{0,20}\bTVA\b|\b(?:reembols|devol|devuel)\w*\b[^.!?\n]{0,20}\bIVA\b",
    r"\b(?:rimbors|restitu)\w*\b[^.!?\n]{0,20}\bIVA\b|消費税[^。\n]{0,10}(?:返金|払い戻|還付)",
)

PART = any_of(
    # a part: "a partial refund", "anteilig", "the difference"
    r"\bpartial(?:ly)?\b|\bpro[- ]?rat\w+|\bin part\b|\bpart of (?:the|my|our|it)\b|\b(?:the|price) difference\b",
    r"\bunused (?:part|months?|time)",
    r"\bteil(?:erstattung|rückerstattung|betrag|weise|rückzahlung|widerruf|storn\w+)|\banteilig\w*",
    r"\b(?:einen|den|nur) teil\b",
    r"\bdifferenz(?:betrag)?\b|\baufpreis\b|\bnada más\b|\bpartiel\w*|\bpartiellement\b|\bau prorata\b|\bune partie\b",
    r"\ben partie\b",
    r"\bla différence\b",
    r"\bparcial\w*|\bproporcional\w*|\b(?:una|uma) parte\b|\b(?:la|a) diferen[cç]i?a\b|\bparzial\w*|\bproporzional\w*",
    r"\buna parte\b|\bla differenza\b|一部|差額|日割り|残り(?:の|は)|未使用分",
    # a share: "half", "30 %"
    r"\bhalf\b(?! (?:a|an) (?:year|hour|day|month)| year)|\b(?:a|one|two) thirds?\b|\b(?:a|one|three) quarters?\b",
    r"\bhälfte\b",
    r"\bein drittel\b|\bein viertel\b|\bmoitié\b|\bun (?:tiers|quart)\b|\b(?:la|una?) (?:mitad|tercio|cuarto)\b",
    r"\bmetà\b",
    r"\bun (?:terzo|quarto)\b|\bmetade\b|\bum (?:terço|quarto)\b|半(?:額|分)|[0-9一二三四五六七八九]割|分の[0-9一二三]",
    rf"(?<!\d)(?!100)\d{{1,2}}(?:[·,]\d+)?\s?(?:%|percent|per cent|prozent|pour ?cent|por ciento|per cento|por cento|"
    rf"パーセント)"
    rf"[^.!?\n]{{0,40}}(?:\b{_ASKED}|back\b|返金|払い?戻)",
    rf"(?:\b{_ASKED}|返金|払い?戻)[^.!?\n]{{0,40}}(?<!\d)(?!100)\d{{1,2}}\s?(?:%|percent|prozent|pour ?cent|por ciento|"
    rf"per cento|"
    r"por cento|パーセント)(?! (?:off|discount|rabatt|unhappy))",
    # a count: "2 of the 3 licences", "refund two licences"
    rf"\b{_NUMBER}\s?(?:{_CURRENCY}|{_ITEM})?\s?(?:of|out of|from|von|aus|des?|sur|d'entre|di|su|das|dos|dei|delle)\s"
    rf"(?:{_THE}\s)?(?:insgesamt\s)?{_NUMBER}\b(?!\s?%)",
    rf"\b{_NUMBER} (?:of|von|der|des|de|di|das|dos|dei|"
    rf"delle)\s{_THE}\s(?!payments?\b|charges?\b|zahlung|abbuchung|paiement|pago|cobro|pagament|addebit|cobran)\w",
    rf"\b{_ASKED}\b[^.!?\n]{{0,25}}\b(?!1\b|ein|une?\b|un[ao]?\b|uma?\b|one\b){_NUMBER}\s{_ITEM}\b",
    r"(?<!\d)\d{1,3}\s?(?:つ|個|本|枚|件|台)(?:の)?[^。\n]{0,10}(?:うち|中の?)[^。\n]{0,4}\d|うち(?:の)?\d",
    # an amount: "20 of the 49 euros", "refund me 20 EUR"
    rf"{_AMOUNT}\s?(?:of|out of|from|von|aus|des?|sur|di|su|dos|dei|das)\s(?:{_THE}\s)?(?:\w{{1,20}}\s)?\d",
    # an item: "the second licence", "the shipping costs", "everything but …"
    rf"\b{_ASKED}\b[^.!?\n]{{0,40}}\b{_ORDINAL}\s(?:of\s)?{_ITEM}\b",
    rf"\b{_ORDINAL}\s{_ITEM}\b[^.!?\n]{{0,40}}\b{_ASKED}\b",
    rf"\b{_ASKED}\b[^.!?\n]{{0,25}}\b{_ACCESSORY}",
    rf"\b{_ACCESSORY}\b[^.!?\n]{{0,25}}\b(?:erstatt\w*|zurück|back|refund\w*|return)\b",
    rf"\b{_ASKED}\b[^.!?\n]{{0,40}}\b(?:the|la|el|il|lo|le|die|das|den|a|o|da|do)\s{_ORDINAL}[ ]?(?:[.,;!)]|$)",
    rf"\b{_ASKED}\s(?:me\s|us\s|sie\s|mir\s|bitte\s)?(?:[1-9]|two|three|zwei|drei|deux|trois|dos|tres|due|tre|duas|"
    rf"três)\b"
    r"(?![-\d/,.]\d|\s(?:order|purchase|bestell|käuf|command|achat|pedido|compra|ordin|acquist|encomend|times|mal|"
    r"fois|vece|volt|vez))",
    r"送料|手数料|[2-9二三]つ目|[2-9二三]本目|もう(?:一|1)つ(?:の|だけ|は)",
    r"\b(?:all|everything) (?:but|except|apart from)\b|\bexcept (?:for )?(?:the|one)\b|\bwithout the\b|\balles außer\b",
    r"\baußer (?:de[rmn]|die)\b",
    r"\b(?:tout(?:es)?|tous) (?:sauf|hormis)\b|\btodo (?:excepto|menos|salvo)\b|\btutto (?:tranne|eccetto)\b",
    r"\btudo (?:exceto|menos)\b|以外",
    # only: the second licence
    rf"\b(?:only|just|solely|merely|nur|lediglich|bloß|seulement|uniquement|juste|sólo|solo|solamente|únicamente|"
    rf"soltanto|unicamente|só|somente|apenas)(?:\s(?:for|für|pour|por|para|per|de|mit|refund|erstatten|reembolsar|"
    rf"rembourser))?"
    rf"{_TO_NOUN}(?!\s(?:\w{{1,20}}\s)?{_WHOLE}\b)",
    r"\b(?:only|just)\b[^.!?\n]{0,20}\brefund (?:for|of) (?!my|this|REF|order|purchase|the (?:order|purchase)|"
    r"[a-z]{1,5}-?\d|\d)",
    rf"\b(?:{_ITEM}|{_ORDINAL})\s(?:only|seulement|uniquement|solamente|soltanto|somente|apenas)\b",
    r"\bonly (?:one|two|half|part)\b",
    r"(?<!返金)(?<!返金を)(?:だけ|のみ)[^。\n]{0,15}(?:返金|払い?戻|返品|返し|キャンセル|取り消)",
    # not all: "not the whole order", "I keep the rest"
    r"\bnot (?:for )?(?:all|everything|both|(?:the )?(?:whole|entire|full|complete|total)|the (?:rest|others?))\b",
    r"\bnicht (?:alle[sn]?|beide[sn]?|(?:de[nr]|die|das) (?:ganze[nr]?|gesamte[nr]?|komplette[nr]?|rest|andere[nr]?)|"
    r"komplett|vollständig|ganz)\b",
    r"\bpas (?:tout|toute|tous|toutes|les deux|la totalité|l'intégralité|l'ensemble|(?:le|la) (?:reste|"
    r"commande entière|total)|en entier)\b(?! de suite)",
    r"\bno (?:todo|toda|todos|todas|ambos|ambas|los dos|las dos|la totalidad|el (?:resto|total)|(?:el|"
    r"la) \w+ (?:entero|entera|complet[oa]))\b",
    r"\bnon (?:tutto|tutta|tutti|tutte|entramb\w+|l'inter[oa]|il (?:resto|totale)|per intero)\b",
    r"\bnão (?:tudo|todo|toda|todos|todas|ambos|ambas|a totalidade|o (?:resto|total|valor total)|(?:o|"
    r"a) \w+ inteir[oa])\b",
    r"(?:全部|全て|すべて|全額|全体|両方)(?:の(?:返金)?)?(?:では|じゃ)(?:なく|あり|ない)",
    r"\b(?:keep(?:ing)?|kept) (?:the )?(?:rest|others?|remaining|first|second|one\b)|\b(?:rest|andere[nrs]?|übrigen?|"
    r"erste\w?|zweite\w?)\b"
    r"[^.!?\n]{0,25}\bbehalte",
    r"\bbehalte\w*\b[^.!?\n]{0,25}\b(?:rest|andere\w*|übrige\w*|erste\w*|zweite\w*)\b",
    r"\bgarde\w*\b[^.!?\n]{0,20}\b(?:reste|autres?)\b",
    r"\bquedo con (?:el|la|lo|los|las) (?:resto|otr\w+|demás)|\btengo (?:il resto|l'altr\w+|gli altri|le altre)",
    r"\bfico com (?:o resto|[oa]s? outr\w+)",
)
"""Words of a wish for a part. A comment names the kind of the patterns below it; each kind has the seven languages."""

AMOUNT = any_of(
    rf"\b{_ASKED}\b(?:\s(?:me|us|back|sie|mir|uns|bitte|nous|moi|nos|just|about|rund|etwa)){{0,3}}\s{_AMOUNT}",
    rf"{_AMOUNT}\s(?:back|zurück|refunded|erstatte\w*|zurückerstatte\w*|de vuelta|indietro|de volta|zurückzahlen)\b",
    r"(?<![\d·,])\d[\d,·]{0,12}\s?(?:円|ユーロ|ドル|EUR|USD)\s?(?:分)?(?:を|の|だけ|のみ)?(?:ご)?(?:返金|払い?戻)",
    rf"\b{_ASKED}\b(?:(?!full|whole|entire|total|gesamt|voll|compl|intég|paid|bezahl|payé|pagad|pagat|"
    rf"pago)[^.!?\n\d]){{0,25}}"
    rf"{_AMOUNT}",
    r"\brefund of \d|\b\w+ (?:euros?|dollars?|pounds?|quid|bucks) (?:back|zurück|de vuelta|indietro|de volta)\b",
)
"""A wish for an amount of money."""

WHOLE_AMOUNT = any_of(
    r"\b(?:full|whole|entire(?:ty)?|complete(?:ly)?|all|total)\b|\b(?:voll\w*|komplett\w*|gesamt\w*|ganze\w*)\b",
    r"\b(?:intégral\w*|totalité|complet|complète|total|tout)\b|\b(?:complet[oa]|íntegr[oa]|entero|tod[oa])\b",
    r"\b(?:complet[oa]|inter[oa]|integral\w*|tutt[oa]|totale)\b|全額|全部",
    rf"{_AMOUNT}(?:,? ?(?:that|which|die|den|das|que|qu'|che))?(?: (?:i|we|ich|wir|j'ai|nous avons|he|ho))?"
    r"(?: (?:have|had|habe))? ?(?:paid|bezahlt|gezahlt|payée?s?|pagué|pagado|pagat[oi]|paguei)\b",
)
"""Words that make an amount the whole amount: "the full 49 euros", "the 49 euros that I paid"."""

REMAINDER = any_of(
    # the customer keeps something
    r"\b(?:keep(?:ing)?|hold(?:ing)? on to|hang(?:ing)? on to|still us(?:e|ing)|(?:go on|continue|keep) using|"
    r"stay(?:s)? with me)\b",
    r"\b(?:behalt\w*|(?:nutz|verwend|benutz)\w* (?:\w+ ){0,3}weiter)\b|\b(?:garde(?:r|rai|rons|ons)?|conserv(?:e|er|ons))\b",
    r"\b(?:me|nos) (?:lo|la|los|las) qued\w+|\b(?:me|nos) (?:quedo|quedamos) con|\bconservo\b|\b(?:tengo|teniamo|tenere)\b|"
    r"\bfic(?:o|amos|ar) com\b|そのまま使|使い続け|手元に残",
    # the rest, too much
    r"\b(?:rest(?! of (?:my|the (?:day|week|year))| der woche| des (?:tages|jahres))|remainder|remaining|"
    r"surplus|excess|extra|too (?:many|much)|left over|everything else (?:is|works|was|i)|portion|overcharge\w*)\b",
    r"\b(?:restbetrag\w*|restlich\w*|übrig\w*|überzählig\w*|überschüssig\w*|"
    r"zu viel\w*|zuviel\w*|mehrpreis|nachlass)\b",
    r"\b(?:reste|restante?s?|en trop|surplus|excédent\w*|temps restant)\b|\b(?:resto(?! in attesa| a disposizione)|sobran?|"
    r"sobrantes?|de más|restantes?)\b",
    r"\b(?:in più|in eccesso|rimanent[ei]|restant[ei]|di troppo)\b|\b(?:a mais|em excesso|sobram?)\b|残り|残額|余分|余った|"
    r"以降|まで分|(?:その|この|不要な?|余分な?)分|"
    r"[0-9一二三四五六七八九](?:つ|本|個|台|枚|件|か月|ヶ月|ヵ月|年|人)分",
    # one of several
    rf"\b(?:{_NUMBER}|one) of (?:them|these|those)\b|\b(?:line|item|position|posten|zeile|ligne|línea|riga|posição|linha) "
    rf"(?:no· ?|nr· ?)?(?:\d|(?-i:[A-Z])\b)|\b(?:need|use|brauchen?|nutzen?|benötigen?) (?:aber )?(?:only|nur) (?!one\b|ein)"
    rf"{_NUMBER}\b|\b(?:only (?:need|use)|(?:sólo|solo|só) (?:necesit|precis|us)\w+|"
    rf"ne (?:\w+ )?que) (?!one\b)(?:de )?{_NUMBER}\b|"
    rf"\b(?!eine?\b|one\b){_NUMBER} (?:zurück\w*|stornieren|erstatten|back\b)|しか使",
    rf"\b{_NUMBER} {_ITEM}?,? ?(?:not|nicht|statt|instead of|et non|y no|e non|e não) {_NUMBER}\b|\bsur (?:les )?{_NUMBER}\b|"
    rf"\b(?:voucher|discount|rabatt|gutschein|remise|bon de réduction|descuento|cupón|sconto|buono|desconto|cupão|割引|"
    rf"クーポン)",
    rf"\b(?:only|nur|bloß|seulement|uniquement|s[oó]lo|soltanto|solo|só|apenas) (?:that|this|those|das|den|diese\w?|celui|"
    rf"celle|quell[oa]|"
    rf"es[eao]|isso|ess[ea])\b|\bonly\b(?= ?(?:[.,;(!]|REF|$))|\b(?:celui|celle|ceux)(?:-l[aà])? (?:en|que|qui)\b|"
    rf"\b{_ORDINAL}s? (?:{_NUMBER}|{_ITEM}|ones?)\b",
    # a thing of several things, a thing that was named before
    rf"\b(?:von den|aus den|of (?:the|my|our)|des|de l[oa]s|dos|das|delle|dei|degli) {_NUMBER} (?!order|purchase|payment|"
    rf"charge|bestell|käuf|"
    r"zahlung|abbuch|command|achat|paiement|pedido|compra|pago|cobro|ordin|acquist|pagament|addebit|encomend|cobran)[^\W\d_]|"
    r"\b(?:dafür|hierfür)\b",
    r"\b(?:their|its|deren|dessen) (?:price|cost|value|preis\w*|kosten)\b|\bleur (?:prix|valeur)\b|\bsu (?:precio|valor)\b|"
    r"\bloro prezzo\b|"
    r"\brespe[c]?tivo valor\b",
    r"\b(?:refund|devu[eé]lv\w+|rembours\w+|reembols\w+|rimbors\w+|erstatt\w+)(?:[ -](?:me|us|mir|sie|moi|nous)){0,2} "
    r"(?:one|uno|una|une?|einen?|eine|uma?)(?= ?[.,;!]|$)",
)
"""Words that leave something with the customer, or name more than the customer needs. They count if they are not denied."""

WHOLE_THING = any_of(
    r"^(?:orders?|purchases?|licen[cs]es?|programs?|programmes?|software|products?|apps?|applications?|subscriptions?|"
    r"memberships?|plans?|"
    r"renewals?|games?|tools?|versions?|editions?|invoices?|receipts?|money|amounts?|prices?|sums?|payments?|charges?|costs?|"
    r"transactions?|"
    r"fees?|debit|cash|duplicates?|one|ones|thing|stuff|service|packages?|bundle|reasons?|following|same|attached|above|below|"
    r"full|whole|entire|complete|total|wrong|latest|last)$",
    r"^(?:bestell|auftr[aä]g|kauf|käuf|einkauf|lizenz|programm|software|produkt|anwendung|abo|mitgliedschaft|verlängerung|"
    r"spiel|vertrag|"
    r"rechnung|geld|betr[aä]g|preis|summe|zahlung|abbuchung|kosten|ware|artikel|vollen|gesamt|ganze|beide|falsch|doppelt|"
    r"grund|gründe)|"
    r"(?:lizenz|abo|programm|betrags?|preis(?:es)?|bestellung|vertrags?|zahlung)$",
    r"^(?:commande|achat|licence|logiciel|programme|produit|application|abonnement|renouvellement|jeu|version|facture|argent|"
    r"montant|prix|"
    r"somme|paiement|totalité|intégralité|deux|tout|article|motif|raison)s?$",
    r"^(?:pedido|compra|licencia|programa|software|producto|aplicación|suscripción|renovación|juego|versión|factura|dinero|"
    r"importe|precio|"
    r"suma|pago|cargo|cobro|total|totalidad|monto|cantidad|artículo|motivo|dos|mismo)s?$",
    r"^(?:ordin[ei]|acquist[oi]|licenz[ae]|programm[ai]|prodott[oi]|app|applicazione|abbonamento|rinnovo|gioco|versione|"
    r"fattura|soldi|denaro|"
    r"importo|prezzo|somma|pagamento|addebito|totale|spesa|articolo|motivo|due)$",
    r"^(?:encomenda|compra|licença|programa|produto|aplicação|aplicativo|assinatura|subscrição|renovação|jogo|versão|fatura|"
    r"dinheiro|valor|"
    r"preço|quantia|pagamento|cobrança|total|totalidade|montante|artigo|motivo|duas|dois)s?$",
    r"^(?:REF|\d.*)$|^(?:yours?|ihr\w*|vuestro|suyo|vostro|vosso)$",
    r"^(?:customers?|kunden?|kundin|clients?|clientes?|cliente|lady|gentleman|buyer|käufer\w*)$",
)
"""Words for the whole purchase or for its money. Another thing, such as "the course", can be a part of the purchase."""

_GIVEN_BACK = (
    r"(?:refund(?:ed|ing)?|reimburse\w*|money(?: back)?|paid|pay|return(?:ing)?|back|(?:rück)?erstatt\w*|geld|stornier\w*|"
    r"betrag|rembours\w*|"
    r"rendre|reembols\w*|devol\w+|devuel\w+|devuél\w+|importe|rimbors\w*|restitu\w+|estorn\w*|dinheiro|dinero|soldi)"
)
_BETWEEN = r"(?:[ -](?:me|us|back|bitte|sie|mir|uns|please|nous|moi|lo|la|also|just|only|nur|auch|all)){0,4}"
_OF = r"(?: (?:for|of|on|für|des|der|von|de|du|del|della|dello|dell'|di|do|da|por|pour|per|sur|zu|zum|zur|vom))?"
_DETERMINER = (
    r" ?(?:(?<= )(?:the|my|our|this|that|these|those|das|die|den|dem|des|der|diese\w?|meine?\w?|unsere?\w?|le|la|les|ma|mon|"
    r"mes|cette|ce|"
    r"notre|nos|el|los|las|mi|mis|este|esta|il|lo|gli|i|mio|mia|questo|questa|o|a|os|as|meu|minha|este|esta) |"
    r"(?<= (?:du)) |(?<= (?:del)) |(?<= (?:do|da)) |(?<=della) |l'|dell'|d')"
)
_NAME = (
    r"(?P<{name}>[^\W\d_][\w-]*(?: (?!for|and|which|that|because|in|from|as|since|to|please|with|on|at|by)"
    r"[^\W\d_][\w-]*){{0,2}})"
)

GIVEN_BACK_THINGS = any_of(
    rf"\b{_GIVEN_BACK}{_BETWEEN}{_OF}{_DETERMINER}{_NAME.format(name='behind')}",
    r"\b(?:das|die|den|dem|diese\w?|the|this|la|le|il|el|o|a) (?P<before>(?:[^\W\d_][\w-]* ){1,2})(?:bitte |auch |wieder |"
    r"gern\w* |to be |should be |"
    r"must be ){0,2}(?:zurückgeben|zurücksenden|zurückschicken|zurück|erstatten|erstattet|stornieren|refunded|returned)\b",
    r"(?P<japanese>[一-龥ァ-ヶー]{1,15})(?:の(?:代金|料金|費用|分)|分)?(?:を|の|だけ|のみ)(?:ご)?(?:返金|返品|払い?戻)",
)
"""The thing that is given back, or for which money is given back."""

JAPANESE_WHOLE = any_of(
    r"(?:注文|購入|商品|製品|代金|全額|料金|お金|金額|費用|プログラム|契約|サービス|ライセンス|ソフト|ソフトウェア|アプリ|"
    r"プラン|サブスク\w*|件|分|"
    r"全部|両方|二件|間|品|物|二重)$",
)
