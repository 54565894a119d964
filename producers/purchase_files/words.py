"""The words of exports and providers for yes and no, currencies, payment methods, providers and disputes, with our words."""

import re
import unicodedata
from functools import lru_cache

from domain.purchases import Dispute, Method
from producers.purchase_files.amounts import currency_of
from producers.purchase_files.errors import CellError

# Spreadsheets write truth values in the language of their user.
_TRUE = set("true yes 1 y t ja wahr oui vrai si sí verdadero vero sim verdadeiro waar".split())
_FALSE = set("false no 0 n f nein falsch non faux falso não nao nee onwaar".split())

_METHODS = {
    Method.CREDIT_CARD: "card cards creditcard credit_cards debit_card debitcard credit_or_debit_card credit_debit_card "
    "debit_or_credit_card card_present kreditkarte kreditkarten debitkarte carte_bancaire cartes_bancaires carte_de_crédit "
    "carte_de_credit carte_bleue carte_de_débit tarjeta tarjeta_de_crédito tarjeta_de_credito tarjeta_de_débito "
    "carta_di_credito carta_di_debito cartão_de_crédito cartao_de_credito cartão_de_débito クレジットカード "
    "クレジットカード決済 visa mastercard master_card mc amex american_express discover diners diners_club jcb unionpay "
    "union_pay maestro elo cc debit visa_debit mastercard_debit visa_credit mastercard_credit eftpos_au scheme acdc",
    Method.PAYPAL: "pay_pal paypal_wallet paypal_plus",
    Method.APPLE_PAY: "applepay",
    Method.GOOGLE_PAY: "googlepay gpay android_pay androidpay pay_with_google",
    Method.ALIPAY: "ali_pay alipay_plus alipay_hk",
    Method.AMAZON_PAY: "amazonpay amazon_payments amazon_payments_advanced amazon",
    Method.DIRECT_DEBIT: "directdebit sepa sepa_debit sepa_direct_debit sepadirectdebit sepadebit sepa_core lastschrift "
    "sepa_lastschrift lastschrift_sepa prélèvement_sepa prelevement_sepa prélèvement domiciliación_bancaria addebito_diretto "
    "addebito_diretto_sepa sepa_incasso "
    "bacs_debit bacs_direct_debit au_becs_debit becs_direct_debit acss_debit us_bank_account ach ach_debit ach_direct_debit",
    Method.WIRE_TRANSFER: "wire bank_transfer banktransfer direct_bank_transfer bacs sepa_credit_transfer customer_balance "
    "ach_credit_transfer überweisung banküberweisung vorkasse virement virement_bancaire transferencia_bancaria "
    "transferência_bancária bonifico bonifico_bancario 銀行振込 bank_deposit",
    Method.INVOICE: "rechnung kauf_auf_rechnung pay_by_invoice purchase_order",
    Method.CASH: "cod cash_on_delivery cash_on_delivery_cod nachnahme contra_reembolso contrassegno 代金引換",
    Method.CHECK: "cheque check_payment check_payments cheque_payment money_order",
    Method.CRYPTO: "bitcoin btc ethereum eth usdc cryptocurrency",
}
"""The words of Stripe's ``payment_method_details.type``, Adyen's ``paymentMethod``, Mollie's ``method``, and of shop systems.

In WooCommerce, ``bacs`` is a bank transfer. ``credit`` alone is not listed, because it is often the customer's store credit.
"""
_METHOD_OF = {word: method.value for method, words in _METHODS.items() for word in (method.value, *words.split())}

_PROVIDERS = (  # the first row with a word of the text is used: "braintree_paypal" is a payment at Braintree
    ("woocommerce_payments", ("woocommerce_payments", "woopayments", "wcpay")),
    ("shopify_payments", ("shopify_payments", "shop_pay")),
    ("braintree", ("braintree",)),
    ("mollie", ("mollie",)),
    ("adyen", ("adyen",)),
    ("stripe", ("stripe",)),
    ("paypal", ("paypal", "ppcp", "ppec", "pay_pal")),
    ("sandbox", ("sandbox",)),
)
"""The providers, with the words that name them in shops. Only the shop refunds a payment of its system's own provider."""

_METHOD_OF_PROVIDER = {
    "paypal": Method.PAYPAL.value,
    "stripe": Method.CREDIT_CARD.value,
    "braintree": Method.CREDIT_CARD.value,
    "woocommerce_payments": Method.CREDIT_CARD.value,
    "shopify_payments": Method.CREDIT_CARD.value,
}
"""The method of a payment about which only the provider is known, as in the gateways of shop systems."""

_WITH_ACCOUNT = re.compile(r"([\w-]+):([\w.-]+)")
_FILLERS = re.compile(
    r"(?:^|_)(?:wc|gateway|via|with|by|express|checkout|payments?|ending|in|upe|standard|digital)(?=_|$)"
)

_DISPUTES = {
    Dispute.NONE: "none",
    Dispute.INQUIRY: "inquiry inquiry_open inquiry_needs_response inquiry_under_review warning_needs_response "
    "warning_under_review early_fraud_warning",
    Dispute.OPEN: "open dispute disputed needs_response under_review",
    Dispute.LOST: "lost accepted charged_back charge_refunded prevented",
    Dispute.WON: "won inquiry_closed warning_closed",
}
"""Our words, and the values of ``status`` of Stripe's disputes (API reference, "The Dispute object")."""
_DISPUTE_OF = {word: dispute.value for dispute, words in _DISPUTES.items() for word in words.split()}


def truth_value(text: str) -> bool:
    """Return the truth value that the text means. Raise CellError if the text is another word."""
    word = text.strip().casefold()
    if word not in _TRUE | _FALSE:
        raise CellError(f"{text!r} is neither true nor false. Write true or false.")
    return word in _TRUE


@lru_cache(maxsize=1_000)
def currency(text: str) -> str:
    """Return the currency code in capital letters. Another text stays as it is."""
    return currency_of(f"1 {text}") or text.strip().upper()


@lru_cache(maxsize=10_000)
def provider(text: str) -> str:
    """Return our name of the provider. An account that the name contains stays: ``stripe:aurora``."""
    if match := _WITH_ACCOUNT.fullmatch(text.strip()):
        return f"{provider(match[1])}:{match[2]}"
    return _find_provider(_words(text))[0] or re.sub(r"\s+", "_", text.strip().casefold())


@lru_cache(maxsize=10_000)
def method(text: str) -> str:
    """Return our word for the payment method. A method for which we have no word stays as it is, in lower case."""
    words = _words(text)
    if " + " in text:  # several methods
        return words
    name, signs = _find_provider(words)
    rest = re.sub(r"_?\d+", "", words)
    for sign in signs:
        rest = re.sub(rf"(?:^|_){sign}(?=_|$)", "", rest)
    rest = _FILLERS.sub("", rest).strip("_")
    return (
        _METHOD_OF.get(words)
        or _METHOD_OF.get(rest)
        or (rest if signs and rest else _METHOD_OF_PROVIDER.get(name, words))
    )


def dispute(text: str) -> str:
    """Return our word for the state of a dispute. Raise CellError if the text is another word."""
    found = find_dispute(text)
    if found is None:
        raise CellError(f"{text!r} is not a state of a dispute. Write none, inquiry, open, lost or won.")
    return found


def find_dispute(text: str) -> str | None:
    """Return our word for the state of a dispute, such as ``open`` for ``Dispute under review``; None for another word."""
    return _DISPUTE_OF.get(_words(text).removeprefix("dispute_"))


def _words(text: str) -> str:
    """Return the words of a text in lower case, with ``_`` between the words."""
    text = unicodedata.normalize("NFKC", text) if not text.isascii() else text
    return re.sub(r"[\W_]+", "_", text.casefold()).strip("_")


def _find_provider(words: str) -> tuple[str, tuple[str, ...]]:
    """Return the provider that the words name, and the words that name the provider."""
    return next((row for row in _PROVIDERS if any(f"_{sign}_" in f"_{words}_" for sign in row[1])), ("", ()))
