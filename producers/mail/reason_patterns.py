"""Patterns that find the refund reason in a customer's text, in seven languages. The first reason with a match is used."""

import re

from domain.refund_reasons import RefundReason


def any_of(*patterns: str) -> re.Pattern[str]:
    """Return a case-insensitive pattern that matches if any of ``patterns`` matches."""
    return re.compile("|".join(patterns), re.IGNORECASE)


REASONS = (
    (
        RefundReason.DUPLICATE_ORDER,
        any_of(
            r"\b(?:order|bought|purchas|charged|paid|billed)\w*\b[^.!?\n]{0,40}\b(?:twice|two times|double|2x)",
            r"\b(?:twice|double[- ]|duplicate)\s*(?:order|charge|purchas|paid|bought|payment|billed)",
            r"\bduplicate\b",
            r"\b(?:doppelt|zweimal|zwei mal|2x|versehentlich nochmals?)\b",
            r"\b(?:commandé|payé|débité|acheté)\w* (?:\w+ ){0,3}deux fois|\bdoublon\b|\bdeux fois la même\b",
            r"\b(?:dos veces|por duplicado|duplicad[oa]|doble (?:cargo|cobro|pago))\b",
            r"\b(?:due volte|doppio (?:ordine|addebito|acquisto)|duplicat[oa])\b",
            r"\b(?:duas vezes|em duplicado|duplicad[oa]|(?:cobrança|compra) dupla)\b",
            r"二重(?:に|注文|購入|請求|決済)|重複(?:し|注文|購入|請求)|[2二]回(?:も)?(?:注文|購入|請求|引き落と)",
        ),
    ),
    (
        RefundReason.NOT_DELIVERED,
        any_of(
            r"(?:\b(?:never|not|nothing)|n't)\b[^.!?\n]{0,30}\b(?:arriv|deliver|receiv|got\b|came)",
            r"\bstill waiting for (?:my|the|a)\b[^.!?\n]{0,20}\b(?:key|licen|download|delivery|order|product|parcel)",
            r"\b(?:nicht|nie|nichts|kein\w*)\b[^.!?\n]{0,40}\b(?:angekommen|erhalten|geliefert|bekommen|zugestellt)",
            r"\b(?:jamais|pas|rien|aucun\w*)\b[^.!?\n]{0,30}\b(?:reçu|livré|arrivé)",
            r"\b(?:no|nunca|nada)\b[^.!?\n]{0,20}\b(?:recib|lleg|entreg)\w*",
            r"\b(?:non|mai|nulla|niente)\b[^.!?\n]{0,20}\b(?:ricevut|arrivat|consegnat)\w*",
            r"\b(?:não|nunca|nada)\b[^.!?\n]{0,20}\b(?:receb|cheg|entreg)\w*",
            r"(?:届|送られて|受け取)[^。\n]{0,6}(?:ません|ない|なかった|ておらず)|未着|未配達",
        ),
    ),
    (
        RefundReason.POOR_SUPPORT,
        any_of(
            r"\b(?:support|help ?desk|customer service|hotline)\b[^.!?\n]{0,60}"
            r"(?:\b(?:poor|bad|terrible|awful|useless|rude|slow|unhelpful|no(?:t|body| one)?|never|ignor\w+)|n't)\b",
            r"\b(?:poor|bad|terrible|awful|useless|rude|slow|unhelpful|disappoint\w+)\b[^.!?\n]{0,20}\b(?:support|service)\b",
            r"\b(?:support|kundendienst|kundenservice|hotline)\b[^.!?\n]{0,60}"
            r"\b(?:schlecht\w*|unfreundlich|katastroph\w*|nie|nicht|kein\w*|niemand|unbrauchbar)\b",
            r"\b(?:schlecht\w*|unfreundlich\w*|unzufrieden mit dem|katastroph\w*)\b[^.!?\n]{0,20}"
            r"\b(?:support|kundendienst|service)",
            r"\b(?:support|service client|assistance)\b[^.!?\n]{0,60}\b(?:mauvais|nul|jamais|pas|personne|aucune)\b",
            r"\b(?:soporte|atención al cliente|servicio técnico)\b[^.!?\n]{0,60}\b(?:mal\w?|pésim\w+|nunca|no|nadie)\b",
            r"\b(?:assistenza|supporto|servizio clienti)\b[^.!?\n]{0,60}\b(?:pessim\w+|scars\w+|mai|non|nessuno)\b",
            r"\b(?:suporte|apoio ao cliente|atendimento)\b[^.!?\n]{0,60}\b(?:péssim\w+|ruim|mau|nunca|não|ninguém)(?!\w)",
            r"サポート[^。\n]{0,20}(?:悪|ひど|遅|返事がない|返信がない|対応してくれ|不満)",
        ),
    ),
    (
        RefundReason.UNWANTED_RENEWAL,
        any_of(
            r"\b(?:auto[- ]?)?renew(?:al|als|ed|s|ing)?\b",
            r"\bcancel\w*\b[^.!?\n]{0,60}\b(?:charged|billed|debited|again)\b",
            r"\b(?:charged|billed)\b[^.!?\n]{0,20}\b(?:again|another year|next year)\b",
            r"\b(?:automatisch\w* )?(?:verlänger\w*|vertragsverlängerung|aboverlängerung)",
            r"\b(?:gekündigt|kündigung)\b|\b(?:erneut|wieder)\b[^.!?\n]{0,20}\b(?:abgebucht|belastet)",
            r"\brenouvel\w+|\breconduc\w+|\brenov(?:aci[oó]n|aç(?:ão|ões)|ad[oa]|ou|ó)(?!\w)|\brinnov\w+",
            r"更新(?:され|料|の|を|が)|自動更新|自動継続",
        ),
    ),
    (
        RefundReason.WRONG_PRODUCT,
        any_of(
            r"\b(?:wrong|incorrect|different) (?:product|edition|version|item|one|licen[cs]e|program|platform|software)\b",
            r"\bby (?:mistake|accident)\b|\baccidental(?:ly)?\b|\bmistakenly\b|\bmeant to (?:buy|order)\b",
            r"\bfalsch\w* (?:produkt|version|artikel|edition|software|lizenz|programm)|\bfalsch (?:bestellt|gekauft)",
            r"\baus versehen\b|\bversehentlich\b|\birrtümlich\w*|\bverwechselt\b",
            r"\bmauvais(?:e)? (?:produit|article|version|logiciel|licence)\b|\bpar erreur\b|\btrompée? de (?:produit|version)",
            r"\b(?:producto|artículo|versión|programa|licencia) (?:equivocad|incorrect)\w+|\bpor (?:error|equivocación)\b",
            r"\b(?:prodotto|articolo|versione|programma|licenza) sbagliat\w+|\bper (?:errore|sbaglio)\b",
            r"\b(?:produto|artigo|versão|programa|licença) errad\w+|\bpor (?:engano|erro)\b",
            r"間違(?:え|っ)|誤(?:っ|注文|購入)|違う(?:商品|製品|バージョン)",
        ),
    ),
    (
        RefundReason.TECHNICAL_ISSUE,
        any_of(
            r"(?:\b(?:not|never|cannot|can ?not|unable to|fails? to|refuses to)|n't)\b[^.!?\n]{0,25}"
            r"\b(?:work|install|start|run|open|launch|activat|load|download)",
            r"\b(?:crash|freez|bug|broken|error|defect|incompatible|not compatible|blue ?screen|fails?\b)\w*",
            r"\b(?:funktioniert|startet|läuft|geht|installier\w+|öffnet|lädt)\b[^.!?\n]{0,30}\b(?:nicht|nie)\b",
            r"\b(?:nicht|nie)\b[^.!?\n]{0,20}\b(?:installier\w+|starten|aktivier\w+|öffnen)",
            r"\bstürzt\b|\babsturz\b|\babstürze\b|\bfehler(?:meldung)?\b|\bdefekt\b|\bkaputt\b|\binkompatibel\b",
            r"\bne (?:fonctionne|marche|démarre|s'installe|s'ouvre) pas\b|\bplante\b|\bimpossible (?:de l')?\W?installer",
            r"\bno (?:funciona|arranca|se (?:instala|abre)|puedo instalar)(?!\w)|\bse (?:cuelga|bloquea|cierra sol\w)(?!\w)",
            r"\bnon (?:funziona|parte|si (?:avvia|installa|apre)|riesco a(?:d)? installar)|\bsi blocca\b",
            r"\bnão (?:funciona|arranca|abre|inicia|instala|consigo instalar)(?!\w)|\btrava(?:ndo)?\b",
            r"(?:動|起動し|起動でき|インストールでき|作動し)(?:か)?(?:ません|ない|なかった)|エラー|不具合|クラッシュ|フリーズ",
        ),
    ),
    (
        RefundReason.DISSATISFIED,
        any_of(
            r"(?:\b(?:not|un|dis)|n't)[ -]?(?:\w+ )?(?:satisf|happy|pleased|like|what i expected|useful|meet)",
            r"\bdis(?:satisf|appoint)\w*|\bunhappy\b|\buseless\b|\bhate\b|\bbelow my expectations\b|\bpoor quality\b",
            r"\bunzufrieden\b|\benttäusch\w*",
            r"\b(?:nicht|kein\w*)\b[^.!?\n]{0,25}\b(?:zufrieden|gefällt|gefallen|erwartet|überzeug\w*)",
            r"\bgefällt mir\b[^.!?\n]{0,10}\bnicht\b|\bentspricht nicht\b",
            r"\bpas (?:\w+ )?(?:satisfait|content|convaincu)|\bdéçu\w*|\binsatisf\w+|\bne me (?:plaît|convient) pas",
            r"\bno (?:\w+ )?(?:satisfech|content|me gusta|me convence)\w*|\bdecepcionad\w+|\bno es lo que esperaba",
            r"\bnon (?:\w+ )?(?:soddisfatt|content|mi piace|mi convince)\w*|\bdelus[oai]\b|\binsoddisfatt\w+",
            r"\bnão (?:\w+ )?(?:satisfeit|gost|content|me agrad)\w*|\binsatisfeit\w+|\bdesapontad\w+|\bdesiludid\w+",
            r"不満|満足でき|満足してい(?:ない|ません)|期待外れ|期待はずれ|気に入ら|がっかり",
        ),
    ),
)
"""Refund reasons with their patterns, one or two lines for each language.

The order matters, because a text can match several reasons, such as an unwanted renewal and dissatisfaction.
A gap such as ``[^.!?\\n]{0,40}`` allows other words between two words of one sentence.
"""
