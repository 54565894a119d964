"""The servers' programs out of their wheels: in place, or copied for a user who may not enter where they are."""

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
    """A package with programs in it; `programs` are paths below the folder it is installed in."""

    package: str
    distribution: str
    folders: Sequence[str]
    programs: Sequence[str]

    @property
    def name(self) -> str:
        return f"{self.distribution}-{version(self.distribution)}"

    def in_place(self) -> Path:
        """Where it is installed. Found without importing it: the packages do things when they are imported."""
        spec = find_spec(self.package)
        if spec is None or spec.origin is None:
            raise ServerError(f"{self.distribution} is not installed. Run: pip install 'moneyback[embedded]'")
        return Path(spec.origin).parent.parent

    def copied_to(self, folder: Path) -> Path:
        """A copy that everybody may read, made once for a version, whole or not at all."""
        there = folder / self.name
        if not there.exists():
            with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as name:
                new = Path(name) / self.name
                self._copy(new)
                new.rename(there)
            self._forget_others(folder)
        return there

    def _copy(self, new: Path) -> None:
        """Side by side as in the wheel: the programs look for their libraries and tables relative to themselves."""
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

    def _forget_others(self, folder: Path) -> None:
        for other in folder.glob(f"{self.distribution}-*"):
            if other.name != self.name:
                shutil.rmtree(other)
