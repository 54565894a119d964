"""Refunds through Braintree, with Braintree's SDK, which speaks XML. A charge is a transaction's id."""
