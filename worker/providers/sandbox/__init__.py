"""Refunds through the sandbox provider, a server that is part of Moneyback, for tests."""
