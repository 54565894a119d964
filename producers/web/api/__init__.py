"""The HTTP API for sellers: one module a resource, and what they share."""
