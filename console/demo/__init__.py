"""The demo: a scenario with three sellers, customers on every channel, and the real services."""
