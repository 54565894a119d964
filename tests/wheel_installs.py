"""Temporary installations: virtual environments with Moneyback's wheel and only the packages of one lock file."""

import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "requirements"


def locked_requirements(lock: str) -> Iterator[Requirement]:
    """Yield, from a lock file, the packages that are installed on this kind of machine."""
    for line in (LOCKS / lock).read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.rstrip("\\ "))
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement


def top_level_names(name: str) -> set[str]:
    """Return the top-level files and folders that an installed package has in site-packages."""
    files = distribution(name).files
    assert files is not None, f"{name} has no list of its files."
    return {file.parts[0] for file in files} - {"..", "__pycache__"}


def build_distribution(folder: Path, target: str, project: Path = ROOT) -> Path:
    """Build the wheel or the sdist of this checkout, or of another project, and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    built = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    (file,) = folder.iterdir()
    return file


class Installation:
    """A virtual environment with wheels. The packages of the lock file are links into the environment of the tests.

    ``more_packages`` are packages that the tests have, and that are not in the lock file.
    """

    def __init__(self, folder: Path, *wheels: Path, lock: str, more_packages: Collection[str] = ()) -> None:
        self.bin = folder / "bin"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=300)
        (site,) = folder.glob("lib/python*/site-packages")
        for name in [*(requirement.name for requirement in locked_requirements(lock)), *more_packages]:
            for entry in top_level_names(name):
                (site / entry).symlink_to(Path(str(distribution(name).locate_file(entry))))
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps"]
        subprocess.run([*uv, "--python", str(self.bin / "python"), *map(str, wheels)], check=True, timeout=300)

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment variables for a program. PYTHONPATH is left out, because it points to the checkout."""
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | dict(env)

    def run(
        self, *arguments: str, cwd: Path, env: Mapping[str, str], program: str = "moneyback"
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / program, *arguments],
            cwd=cwd,
            env=self.environment(env),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start(self, *arguments: str, cwd: Path, env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(
                [self.bin / "moneyback", *arguments],
                cwd=cwd,
                env=self.environment(env),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
