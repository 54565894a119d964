"""The records in memory: the product's own classes, on statements that a dictionary answers instead of PostgreSQL."""
