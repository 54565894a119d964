"""Writes the generated documents into docs/: `python -m console.docgen`."""

from pathlib import Path

from console.docgen import write

write(Path("docs"))
