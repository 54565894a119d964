"""Refunds through Adyen. A charge is a payment's pspReference; only webhooks report the outcome of a refund."""
