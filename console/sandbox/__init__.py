"""A payment provider to try things out with: a process of its own that keeps honest books and misbehaves on request."""
