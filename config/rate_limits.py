"""The settings of the rate limits."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Limits(BaseSettings):
    """The rate limits. A limit counts the requests of the last hour or of the last minute.

    A limit also counts the requests that find no purchase, so that it does not reveal whether a purchase exists.
    """

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_", extra="ignore", frozen=True)

    rate_limits_enabled: bool = Field(
        True,
        description="True if the limits apply. Switch them off only in a test that simulates many customers on one machine.",
    )
    rate_limit_email_per_hour: int = Field(
        10,
        ge=1,
        description="Maximum number of forms per hour with one e-mail address. "
        "A customer needs one or two forms, and a few more after errors.",
    )
    rate_limit_reference_per_hour: int = Field(
        10,
        ge=1,
        description="Maximum number of forms per hour with one reference number. Also the maximum number of forms per hour on "
        "the page of one signed link. For one reference number or one link, a customer needs at most three forms.",
    )
    rate_limit_network_per_minute: int = Field(
        60,
        ge=1,
        description="Maximum number of forms per minute from one network (IPv4 /24, IPv6 /56). "
        "The customers of an office share one network.",
    )
    rate_limit_api_key_per_minute: int = Field(
        6_000,
        ge=1,
        description="Maximum number of API calls per minute with one API key. Also the maximum number of API calls per minute "
        "from one network. The default is enough for a busy shop.",
    )
    rate_limit_bulk_per_minute: int = Field(
        10,
        ge=1,
        description="Maximum number of bulk calls per minute with one API key. Also the maximum number of bulk calls per minute "
        "from one network. One bulk call may contain thousands of requests.",
    )
