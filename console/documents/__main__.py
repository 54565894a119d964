from pathlib import Path

from console.documents import write

write(Path("docs"))
