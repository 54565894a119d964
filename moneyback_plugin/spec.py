"""What a payment provider consists of. The object of the entry point is a ``ProviderSpec``."""

from config.provider_plugins import GROUP, Account, BaseUrl, ProviderSpec

__all__ = ["GROUP", "Account", "BaseUrl", "ProviderSpec"]
