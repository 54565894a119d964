"""The payment provider GoCardless: direct debits in eight currencies. A charge is a payment's id, ``PM…``."""

from pydantic import Field, SecretStr

from moneyback_plugin.spec import Account, BaseUrl, ProviderSpec


class GoCardlessAccount(Account):
    """GoCardless. A read-write access token is needed, because a refund is written."""

    access_token: SecretStr = Field(description="access token with the scope read-write")
    api_base: BaseUrl = Field("https://api.gocardless.com", description="URL of the API")
    webhook_secret: SecretStr | None = Field(
        None, description="webhook secret; during a change, the old and the new secret, separated by a comma"
    )


GOCARDLESS = ProviderSpec(
    package=__name__,
    account=GoCardlessAccount,
    test_setting="api_base",
    test_values=("https://api-sandbox.gocardless.com",),
    webhook_setting="webhook_secret",
)
