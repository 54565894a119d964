"""In-memory records. The product's record classes run unchanged, and functions answer their SQL statements from dictionaries."""
