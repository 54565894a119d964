"""Refunds through Stripe, with Stripe's SDK. A charge is the id of a charge or of a payment intent."""
