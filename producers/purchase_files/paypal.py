"""The activity download of PayPal (developer documentation, "Activity Download report").

Columns, types, statuses, dates and amounts are in the language of the account. Refunds are rows of their own, which name the
payment in ``Reference Txn ID``. The types are the descriptions of PayPal's transaction event codes ("T-codes").
"""

import re

from producers.purchase_files.amounts import is_negative, positive
from producers.purchase_files.dialect import Dialect, LaterEvent, NoPurchase, Prepared, Texts
from producers.purchase_files.errors import CellError

_REFUNDED = {
    "refunded", "reversed", "zurückgezahlt", "rückerstattet", "remboursé", "reembolsado", "rimborsato", "terugbetaald",
}  # fmt: skip
_PAID = _REFUNDED | {
    "completed", "cleared", "partially refunded", "partially reversed", "funds available", "abgeschlossen",
    "teilweise zurückgezahlt", "terminé", "effectué", "partiellement remboursé", "completado", "completada",
    "parcialmente reembolsado", "completata", "completato", "parzialmente rimborsato", "concluído", "concluída", "voltooid",
    "gedeeltelijk terugbetaald",
}  # fmt: skip
_NOT_PAID = {
    "pending", "denied", "unclaimed", "canceled", "cancelled", "expired", "failed", "returned", "removed", "held", "placed",
    "on hold", "processing", "active", "ausstehend", "offen", "abgelehnt", "storniert", "abgebrochen", "nicht eingelöst",
    "fehlgeschlagen", "en attente", "refusé", "annulé", "pendiente", "denegado", "cancelado", "cancelada", "in sospeso",
    "rifiutato", "annullato", "annullata", "pendente", "recusado", "in behandeling", "geweigerd", "geannuleerd",
}  # fmt: skip

_REFUNDS = (
    "refund", "revers", "revert", "cancel", "rückzahl", "rückerstatt", "zurück", "storn", "rembours", "annul", "anul",
    "reembols", "devol", "rimbors", "terugbetaling", "restitu",
)  # fmt: skip
_CHARGEBACKS = (
    "chargeback", "rückbuchung", "rückbelastung", "rétrofacturation", "contracargo", "devolución de cargo", "riaddebito",
    "terugvordering",
)  # fmt: skip
_HOLDS_FOR_DISPUTES = (
    "dispute", "konflikt", "käuferbeschwerde", "litige", "disputa", "contestazione", "controversia", "geschil",
)  # fmt: skip
_FEES = ("fee", "gebühr", "entgelt", "frais", "comisión", "commission", "tarifa")
_INTERNAL = (
    "currency conversion", "währungsumrechnung", "conversion de devise", "conversión de divisa", "conversione di valuta",
    "conversão de moeda", "valutaomrekening", "hold", "einbehalt", "withdrawal", "abbuchung", "deposit", "gutschrift",
    "authorization", "autorisierung", "reserve", "release", "freigabe", "tax collected", "interest", "recoupment",
)  # fmt: skip
"""Parts of the types of rows that move money between the seller and PayPal, and not between the seller and a customer."""
_PAYMENT = re.compile(r"(?:payment|zahlung|paiement|pago|pagamento|betaling|purchase|achat|compra|acquisto)s?\b")
"""A word of the types of payments. If the amount of a payment is negative, the seller has paid."""
_INTERNAL_ROW = "the row moves no money between you and a customer"


def _prepare(texts: Texts) -> Prepared:
    texts["purchased_at"] = " ".join(texts[name] for name in ("purchased_at", "_time", "_zone") if texts.get(name))
    status = texts.get("_status", "").strip().casefold()
    if status in _NOT_PAID:
        return NoPurchase("the payment is not completed")
    if status and status not in _PAID:
        raise CellError(
            f"The status {texts['_status']!r} of PayPal is unknown. If the row is completed, write Completed; otherwise, leave "
            "the line out."
        )
    if is_negative(texts.get("amount", "")):
        return _later_event(texts)
    kind = _kind(texts, _FEES, _CHARGEBACKS, _HOLDS_FOR_DISPUTES, _INTERNAL, _REFUNDS)
    payment = texts.get("_payment") or texts.get("reference", "")
    if kind is _CHARGEBACKS and payment:
        return _about(payment, texts, dispute="reversed")
    if kind is _HOLDS_FOR_DISPUTES and texts.get("_payment"):
        # The hold ended. If the money went back to the customer, another row contains it.
        return _about(payment, texts, dispute="ended")
    if not texts.get("email") or kind or texts.get("_impact", "").strip().casefold() == "memo":
        return NoPurchase(_INTERNAL_ROW)
    texts.setdefault("reference", texts.get("charge", ""))
    if status in _REFUNDED:
        texts["refunded"] = texts.get("amount", "")
    texts["product"] = texts.get("product") or texts["reference"]
    return None


def _later_event(texts: Texts) -> Prepared:
    """Return what a row with a negative amount means for the payment that it names."""
    payment = texts.get("_payment") or texts.get("reference", "")
    kind = _kind(texts, _FEES, _CHARGEBACKS, _HOLDS_FOR_DISPUTES, _REFUNDS, _INTERNAL)
    if kind in {_FEES, _INTERNAL} or (
        kind is None and (not payment or _PAYMENT.search(texts.get("_type", "").casefold()))
    ):
        return NoPurchase(_INTERNAL_ROW)
    if not payment:
        raise CellError(
            "The row is a refund, but names no payment. Download the activity with the column Reference Txn ID."
        )
    if kind is _REFUNDS:
        return _about(payment, texts, refunded=positive(texts["amount"]))
    if kind is not None:
        return _about(payment, texts, dispute="lost" if kind is _CHARGEBACKS else "opened")
    raise CellError(
        f"The type {texts.get('_type', '')!r} of PayPal is unknown, so the payment {payment} may be refunded. "
        "If money went back to the customer, write Refund; otherwise, leave the line out."
    )


def _about(payment: str, texts: Texts, *, refunded: str = "", dispute: str = "") -> LaterEvent:
    """Return what a row says about a payment, which the row names by its transaction id or by its invoice number."""
    return LaterEvent(
        payment,
        seller=texts.get("seller", ""),
        refunded=refunded,
        currency=texts.get("currency", ""),
        dispute=dispute,
        id=texts.get("charge", ""),
        provider=texts.get("provider", ""),
        charge=texts.get("_payment", ""),
    )


def _kind(texts: Texts, *kinds: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the first kind with a word that the type of the row contains."""
    words = texts.get("_type", "").casefold()
    return next((kind for kind in kinds if any(word in words for word in kind)), None)


DIALECT = Dialect(
    title="the activity download of PayPal",
    columns={
        "reference": (
            "Invoice Number", "Invoice ID", "Rechnungsnummer", "Numéro de facture", "Número de factura", "Numero fattura",
            "Número da fatura", "Factuurnummer",
        ),
        "email": (
            "From Email Address", "Absender E-Mail-Adresse", "Adresse email de l'expéditeur", "De l'adresse email",
            "Correo electrónico del remitente", "Dirección de correo electrónico del remitente", "Indirizzo email mittente",
            "Do e-mail", "Van e-mailadres",
        ),
        "product": (
            "Item Title", "Subject", "Artikelbezeichnung", "Betreff", "Titre de l'objet", "Objet", "Título del artículo",
            "Asunto", "Nome oggetto", "Oggetto", "Título do item", "Assunto", "Objecttitel", "Onderwerp",
        ),
        "amount": ("Gross", "Brutto", "Avant commission", "Bruto", "Lordo"),
        "currency": ("Currency", "Währung", "Devise", "Divisa", "Valuta", "Moeda"),
        "tax": ("Sales Tax", "Umsatzsteuer"),
        "charge": (
            "Transaction ID", "Transaktionscode", "Numéro de transaction", "Id. de transacción", "Codice transazione",
            "ID da transação", "Transactiereferentie",
        ),
        "purchased_at": ("Date", "Datum", "Fecha", "Data"),
        "_time": ("Time", "Uhrzeit", "Heure", "Hora", "Orario", "Tijd"),
        "_zone": ("TimeZone", "Time Zone", "Zeitzone", "Fuseau horaire", "Zona horaria", "Fuso orario", "Fuso horário",
                  "Tijdzone"),
        "_type": ("Type", "Description", "Typ", "Beschreibung", "Tipo", "Descripción", "Descrizione", "Descrição",
                  "Omschrijving"),
        "_status": ("Status", "État", "Estado", "Stato"),
        "_impact": ("Balance Impact", "Auswirkung auf Guthaben"),
        "_payment": (
            "Reference Txn ID", "Zugehöriger Transaktionscode", "Referenztransaktionscode", "Numéro de transaction de référence",
            "Id. de referencia de transacción", "Codice transazione di riferimento", "ID da transação de referência",
            "Ref.-id transactie",
        ),
    },
    needed=("charge", "email", "amount", "currency", "purchased_at"),
    values={"provider": "paypal", "method": "paypal"},
    prepare=_prepare,
    event_keys=("charge", "reference"),
)  # fmt: skip
