"""Refunds through the sandbox provider, a server that Moneyback brings along to try things out."""
