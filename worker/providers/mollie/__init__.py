"""Refunds through Mollie. A charge is a payment's id, ``tr_…``."""
