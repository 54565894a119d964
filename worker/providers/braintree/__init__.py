"""Refunds through Braintree, with Braintree's SDK, which sends XML. A charge is a transaction's id."""
