"""What a customer wants and why, from their own words. The first row that hits decides; nobody's word is proof of anything."""

import re

from domain.reasons import Reason
from domain.requests import Wish


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


REASONS = (
    (
        Reason.DUPLICATE_ORDER,
        _any(
            r"\b(?:order|bought|purchas|charged|paid|billed)\w*\b[^.!?\n]{0,40}\b(?:twice|two times|double|2x)",
            r"\b(?:twice|double[- ]|duplicate)\s*(?:order|charge|purchas|paid|bought|payment|billed)",
            r"\bduplicate\b",
            r"\b(?:doppelt|zweimal|zwei mal|2x|versehentlich nochmals?)\b",
            r"\b(?:commandé|payé|débité)\w* deux fois|\bdoublon\b",
        ),
    ),
    (
        Reason.NOT_DELIVERED,
        _any(
            r"(?:\b(?:never|not|nothing)|n't)\b[^.!?\n]{0,30}\b(?:arriv|deliver|receiv|got\b|came)",
            r"\bstill waiting for (?:my|the|a)\b[^.!?\n]{0,20}\b(?:key|licen|download|delivery|order|product|parcel)",
            r"\b(?:nicht|nie|nichts|kein\w*)\b[^.!?\n]{0,40}\b(?:angekommen|erhalten|geliefert|bekommen|zugestellt)",
            r"\b(?:jamais|pas|rien)\b[^.!?\n]{0,20}\b(?:reçu|livré|arrivé)",
        ),
    ),
    (
        Reason.POOR_SUPPORT,
        _any(
            r"\b(?:support|help ?desk|customer service|hotline)\b[^.!?\n]{0,60}"
            r"(?:\b(?:poor|bad|terrible|awful|useless|rude|slow|unhelpful|no(?:t|body| one)?|never|ignor\w+)|n't)\b",
            r"\b(?:poor|bad|terrible|awful|useless|rude|slow|unhelpful|disappoint\w+)\b[^.!?\n]{0,20}\b(?:support|service)\b",
            r"\b(?:support|kundendienst|kundenservice|hotline)\b[^.!?\n]{0,60}"
            r"\b(?:schlecht\w*|unfreundlich|katastroph\w*|nie|nicht|kein\w*|niemand|unbrauchbar)\b",
            r"\b(?:schlecht\w*|unfreundlich\w*|unzufrieden mit dem|katastroph\w*)\b[^.!?\n]{0,20}"
            r"\b(?:support|kundendienst|service)",
        ),
    ),
    (
        Reason.UNWANTED_RENEWAL,
        _any(
            r"\b(?:auto[- ]?)?renew(?:al|als|ed|s|ing)?\b",
            r"\bcancel\w*\b[^.!?\n]{0,60}\b(?:charged|billed|debited|again)\b",
            r"\b(?:charged|billed)\b[^.!?\n]{0,20}\b(?:again|another year|next year)\b",
            r"\b(?:automatisch\w* )?(?:verlänger\w*|vertragsverlängerung|aboverlängerung)",
            r"\b(?:gekündigt|kündigung)\b|\b(?:erneut|wieder)\b[^.!?\n]{0,20}\b(?:abgebucht|belastet)",
            r"\brenouvel\w+|\breconduc\w+|\brenovaci[oó]n\b|\brinnov\w+",
        ),
    ),
    (
        Reason.WRONG_PRODUCT,
        _any(
            r"\b(?:wrong|incorrect|different) (?:product|edition|version|item|one|licen[cs]e|program|platform|software)\b",
            r"\bby (?:mistake|accident)\b|\baccidental(?:ly)?\b|\bmistakenly\b|\bmeant to (?:buy|order)\b",
            r"\bfalsch\w* (?:produkt|version|artikel|edition|software|lizenz|programm)|\bfalsch (?:bestellt|gekauft)",
            r"\baus versehen\b|\bversehentlich\b|\birrtümlich\w*|\bverwechselt\b|\bmauvais (?:produit|article)\b|\bpar erreur\b",
        ),
    ),
    (
        Reason.TECHNICAL_ISSUE,
        _any(
            r"(?:\b(?:not|never|cannot|can ?not|unable to|fails? to|refuses to)|n't)\b[^.!?\n]{0,25}"
            r"\b(?:work|install|start|run|open|launch|activat|load|download)",
            r"\b(?:crash|freez|bug|broken|error|defect|incompatible|not compatible|blue ?screen|fails?\b)\w*",
            r"\b(?:funktioniert|startet|läuft|geht|installier\w+|öffnet|lädt)\b[^.!?\n]{0,30}\b(?:nicht|nie)\b",
            r"\b(?:nicht|nie)\b[^.!?\n]{0,20}\b(?:installier\w+|starten|aktivier\w+|öffnen)",
            r"\bstürzt\b|\babsturz\b|\babstürze\b|\bfehler(?:meldung)?\b|\bdefekt\b|\bkaputt\b|\binkompatibel\b",
            r"\bne (?:fonctionne|marche|démarre) pas\b|\bplante\b|\bno funciona\b|\bnon funziona\b",
        ),
    ),
    (
        Reason.DISSATISFIED,
        _any(
            r"(?:\b(?:not|un|dis)|n't)[ -]?(?:\w+ )?(?:satisf|happy|pleased|like|what i expected|useful|meet)",
            r"\bdis(?:satisf|appoint)\w*|\bunhappy\b|\buseless\b|\bhate\b|\bbelow my expectations\b|\bpoor quality\b",
            r"\bunzufrieden\b|\benttäusch\w*|\b(?:nicht|kein\w*)\b[^.!?\n]{0,25}\b(?:zufrieden|gefällt|gefallen|erwartet|überzeug\w*)",
            r"\bgefällt mir\b[^.!?\n]{0,10}\bnicht\b|\bentspricht nicht\b|\bpas satisfait|\bdéçu\w*|\binsatisfech|\bdeluso",
        ),
    ),
)
"""In this order: a renewal that was never wanted is one even where the customer is unhappy too."""

WISHES = (
    (
        Wish.VAT,
        _any(
            r"\b(?:refund|return|reimburse\w*|deduct|remove|claim)\b[^.!?\n]{0,20}\b(?:VAT|sales tax|taxes|the tax)\b",
            r"\b(?:VAT|sales tax) (?:refund|exempt|back|reimbursement|deduction)",
            r"\b(?:mehrwertsteuer|umsatzsteuer|mwst|ust)\b[^!?\n]{0,25}\b(?:erstatt\w*|zurück|rückerstatt\w*|abziehen)",
            r"\berstatt\w*\b[^.!?\n]{0,20}\b(?:mehrwertsteuer|umsatzsteuer|mwst)|\b(?:rembours\w*)\b[^.!?\n]{0,20}\bTVA\b",
        ),
    ),
    (
        Wish.PARTIAL,
        _any(
            r"\bpartial(?:ly)? (?:refund|reimburse)|\brefund\b[^.!?\n]{0,20}\b(?:part of|half|one of|the difference)\b",
            r"\bteil(?:erstattung|rückerstattung|betrag)|\bteilweise (?:erstatt|zurück)|\bdie hälfte\b|\bden differenzbetrag\b",
            r"\bremboursement partiel",
        ),
    ),
)
"""Anything but the whole amount is for a person: when the words leave a doubt, a person is asked."""


def reason_of(*texts: str) -> Reason:
    """Why the money is wanted back, by the first of these texts that says so."""
    return next((reason for text in texts for reason, words in REASONS if words.search(_plain(text))), Reason.OTHER)


def wish_of(*texts: str) -> Wish:
    """How much of it is wanted back."""
    return next((wish for text in texts for wish, words in WISHES if words.search(_plain(text))), Wish.FULL)


def _plain(text: str) -> str:
    return text.replace("\u2019", "'")
