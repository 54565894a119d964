"""Reads the commands of README.md."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """Return the text of the section with this heading."""
    return README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def blocks(text: str) -> list[list[str]]:
    """Return the commands of each block of console commands, without comments."""
    return [
        [line.removeprefix("$ ").partition("  #")[0].strip() for line in block.splitlines() if line.startswith("$ ")]
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    ]
