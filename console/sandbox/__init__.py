"""The sandbox: a payment provider for tests and demos. It moves no money, and produces delays and faults on request."""
