"""Reads purchases from files: our own CSV and JSON Lines, exports of other systems, and other files by a mapping of columns."""
