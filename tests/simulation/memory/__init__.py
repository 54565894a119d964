"""In-memory records: the product's own record classes, with functions that answer their statements instead of PostgreSQL."""
