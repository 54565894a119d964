from pathlib import Path

from console.docgen import write

write(Path("docs"))
