"""Refunds through PayPal. A charge is a capture's id."""
