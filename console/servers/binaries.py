"""Finds the programs of the database and broker servers in Python packages.

The programs can be copied to a folder, because the user account of the servers may be unable to read the packages.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from console.servers.errors import ServerError

UNNEEDED = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a", "*.py", "__pycache__")


@dataclass(frozen=True)
class Wheel:
    """A package that contains programs; `programs` are paths below the package's installation folder."""

    package: str
    distribution: str
    folders: Sequence[str]
    programs: Sequence[str]

    @property
    def name(self) -> str:
        return f"{self.distribution}-{version(self.distribution)}"

    def in_place(self) -> Path:
        """Return the installation folder, without importing the package, because an import has side effects."""
        spec = find_spec(self.package)
        if spec is None or spec.origin is None:
            raise ServerError(f"{self.distribution} is not installed. Run: pip install 'moneyback[embedded]'")
        return Path(spec.origin).parent.parent

    def copied_to(self, folder: Path) -> Path:
        """Return a copy that every user may read. The copy is made once for each version, atomically."""
        copy = folder / self.name
        if not copy.exists():
            with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as name:
                new = Path(name) / self.name
                self._copy(new)
                new.rename(copy)
            self._remove_other_versions(folder)
        return copy

    def _copy(self, new: Path) -> None:
        """Copy the folders with their layout, because the programs find their libraries by relative paths."""
        new.mkdir()
        for folder in self.folders:
            if (self.in_place() / folder).exists():
                shutil.copytree(self.in_place() / folder, new / folder, ignore=self._not_needed)
        for path in (new, *new.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" or path.name.endswith("-server") else 0o644)

    def _not_needed(self, folder: str, names: list[str]) -> set[str]:
        if Path(folder).name != "bin":
            return UNNEEDED(folder, names)
        return set(names) - {Path(program).name for program in self.programs}

    def _remove_other_versions(self, folder: Path) -> None:
        for other in folder.glob(f"{self.distribution}-*"):
            if other.name != self.name:
                shutil.rmtree(other)
