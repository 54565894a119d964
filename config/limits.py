"""How often one may ask. Whoever asks more often waits; nobody is told whether a purchase exists."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Limits(BaseSettings):
    """The brakes, each counted over the hour or the minute that just passed.

    What is counted is what was sent, never what was found.
    """

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_", extra="ignore", frozen=True)

    rate_limits_enabled: bool = Field(
        True, description="off only where one machine plays many customers: a demo, a test, a benchmark"
    )
    rate_limit_email_per_hour: int = Field(
        10, ge=1, description="forms about one e-mail address: a purchase or two, and a few slips of the pen"
    )
    rate_limit_reference_per_hour: int = Field(
        10, ge=1, description="forms about one reference number, and uses of one link: nobody needs more than three"
    )
    rate_limit_network_per_minute: int = Field(
        60,
        ge=1,
        description="forms from one network (IPv4 /24, IPv6 /56): an office has many people behind one address",
    )
    rate_limit_api_key_per_minute: int = Field(
        6_000,
        ge=1,
        description="calls of the API with one key, and from one network: 100 a second, a shop's busiest day",
    )
    rate_limit_bulk_per_minute: int = Field(
        10, ge=1, description="bulk calls with one key, and from one network: each carries thousands of requests"
    )
