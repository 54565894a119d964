"""Reads settings from environment variables, and from files whose paths are in `*_FILE` variables."""

import os
from pathlib import Path

from pydantic import model_validator
from pydantic_settings import BaseSettings


class FromEnvironment(BaseSettings):
    """Settings from environment variables whose names have the same prefix.

    Instead of a variable X, a variable X_FILE can be set. It contains the path of a file, and the file contains the value of X.
    """

    @model_validator(mode="before")
    @classmethod
    def _secrets_from_files(cls, values: dict[str, object]) -> dict[str, object]:
        """Read the files whose paths are in *_FILE variables. Container platforms provide secrets in such files."""
        prefix = cls.model_config["env_prefix"]
        variables = {name: f"{prefix}{name.upper()}_FILE" for name in cls.model_fields}
        from_files = {name: _read_file(variable) for name, variable in variables.items() if os.environ.get(variable)}
        return from_files | values


def _read_file(variable: str) -> str:
    """Return the content of the file whose path is in this environment variable."""
    file = os.environ[variable]
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise ValueError(f"{variable}: The file {file} cannot be read: {why}.") from None


def split_names(value: object) -> object:
    """Return the names in a text that separates them by commas. Return any other value as it is."""
    return tuple(filter(None, (name.strip() for name in value.split(",")))) if isinstance(value, str) else value
