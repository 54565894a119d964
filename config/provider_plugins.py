"""Define what a payment provider consists of, and find the providers in the installed packages.

A provider is an entry point in the group ``moneyback.providers``. Its name is the name of the provider, and its object is a
``ProviderSpec``. Source: PyPA's specification "Entry points".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from config.environment_variables import FromEnvironment, split_names
from config.loopback import is_loopback
from domain.errors import RefusedError

GROUP = "moneyback.providers"


def _require_https(url: str) -> str:
    """Return the URL without a slash at its end.

    An https URL is valid. An http URL is valid only if its host is this machine. For any other URL, raise ValueError.
    """
    parts = urlsplit(url)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))):
        raise ValueError("Use https for the address of a provider. Only a provider on this machine may use http.")
    return url.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_require_https)]


class Account(FromEnvironment):
    """The settings of our account with a payment provider. Every provider adds its own settings to these."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    sellers: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        description="ids of the sellers whose payments are in the account, separated by commas; "
        "without this setting, the account may have payments of every seller",
    )
    seller_metadata: str | None = Field(
        None,
        min_length=1,
        description="name of the field in a payment's metadata that contains the id of the payment's seller",
    )

    @field_validator("sellers", mode="before")
    @classmethod
    def _split_sellers(cls, value: object) -> object:
        return split_names(value)

    def seller_in(self, metadata: object) -> str | None:
        """Return the seller that a payment's metadata names. None if ``seller_metadata`` is not set or the field has no text."""
        seller = metadata.get(self.seller_metadata) if isinstance(metadata, Mapping) else None
        return seller.strip() or None if isinstance(seller, str) else None


_ONLY_RECONCILIATION = "so Moneyback refuses every webhook, and only the reconciliation finds a refund that fails later"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """A payment provider: the object of an entry point."""

    package: str
    """The name of the package with the modules ``adapter``, ``webhooks`` and ``codes``.

    They contain ``create_adapter``, ``create_webhook_parser`` and ``CAPABILITIES``. They are imported only when they are needed.
    """
    account: type[Account]
    test_setting: str
    """The setting that shows whether an account moves real money."""
    test_values: tuple[str, ...]
    """In a test account, the value of this setting starts with one of these texts, or is a URL whose host is this machine."""
    webhook_setting: str
    """The setting that is needed to verify webhooks."""
    without_webhook_setting: str = _ONLY_RECONCILIATION
    """The consequence of a missing ``webhook_setting``, as the end of a sentence."""
    accepts_unsigned_webhooks: bool = False
    extra_package: str | None = None
    """The package that only this provider needs. The extra moneyback[<name of the provider>] installs it."""

    def is_test_account(self, account: Account) -> bool:
        """Return whether this account certainly moves no real money."""
        value = _setting_text(account, self.test_setting)
        return value.startswith(self.test_values) or is_loopback(urlsplit(value).hostname or "")

    def can_verify_webhooks(self, account: Account) -> bool:
        """Return whether the account has the setting that verifies webhooks."""
        return bool(_setting_text(account, self.webhook_setting))


class ProviderRegistry(Mapping[str, ProviderSpec]):
    """The providers by name. A provider's package is imported only when its ``ProviderSpec`` is read."""

    def __init__(self, own: Iterable[EntryPoint]) -> None:
        """Take the entry points of our own providers. The entry points of installed packages are added at the first use."""
        self._own = tuple(own)

    def __getitem__(self, name: str) -> ProviderSpec:
        """Return the provider. Raise RefusedError if its package cannot be imported."""
        return _load(self._entry_points[name])

    def __contains__(self, name: object) -> bool:
        """Return whether an installed package provides the provider. Nothing is imported."""
        return name in self._entry_points

    def __iter__(self) -> Iterator[str]:
        return iter(self._entry_points)

    def __len__(self) -> int:
        return len(self._entry_points)

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        """The entry points by name, our own first.

        Raise RefusedError if two packages provide the same provider, because it would be left to chance which of them pays.
        """
        by_name = {entry_point.name: entry_point for entry_point in self._own}
        for entry_point in entry_points(group=GROUP):
            known = by_name.setdefault(entry_point.name, entry_point)
            if known != entry_point:
                raise RefusedError(
                    f"Two packages provide the payment provider {known.name}: {_package_of(known)} and "
                    f"{_package_of(entry_point)}. Uninstall one of them."
                )
        return by_name


@cache
def _load(entry_point: EntryPoint) -> ProviderSpec:
    package = _package_of(entry_point)
    try:
        spec = entry_point.load()
    except Exception as error:
        raise RefusedError(
            f"The payment provider {entry_point.name} cannot be imported from the package {package}: "
            f"{type(error).__name__}: {error}. Install another version of this package, or uninstall it."
        ) from error
    if not isinstance(spec, ProviderSpec):
        raise RefusedError(
            f"The package {package} names {entry_point.value} as the payment provider {entry_point.name}, which is no "
            "ProviderSpec. Install another version of this package, or uninstall it."
        )
    return spec


def _package_of(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist else "moneyback"


def _setting_text(account: Account, setting: str) -> str:
    """Return the value of a setting as text, even if it is a secret. Return an empty text if the setting is not set."""
    value = getattr(account, setting)
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value or "")
