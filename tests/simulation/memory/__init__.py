"""Run the product's records in memory: its own classes, whose statements a dictionary answers instead of PostgreSQL."""
