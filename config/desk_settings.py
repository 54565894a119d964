"""The settings of the desk: its address, the sessions of its users, the second factor, and an OpenID provider."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from config.environment_variables import FromEnvironment


class DeskSettings(FromEnvironment):
    """The settings of the support desk. [accounts.md](accounts.md) explains the desk's users and their roles."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_DESK_", extra="ignore", frozen=True)

    url: str = Field(
        "http://127.0.0.1:8001",
        description="Address at which support opens the desk. Invitations start with this address. If it starts with https://, "
        "browsers send the cookie of the desk only over HTTPS.",
    )
    session_idle_seconds: int = Field(
        3_600, ge=60, description="Seconds without a page after which a user of the desk must sign in again."
    )
    session_seconds: int = Field(
        43_200, ge=60, description="Seconds after a sign-in after which a user must sign in again (43200: 12 hours)."
    )
    invitation_seconds: int = Field(
        259_200, ge=60, description="Seconds for which an invitation of a user is valid (259200: 3 days)."
    )
    totp_required: bool = Field(
        True,
        description="True if users with the role lead or seller_admin must set up codes of an authenticator app (TOTP).",
    )
    oidc_issuer: str | None = Field(
        None, description="Address of an OpenID provider that signs users in, such as https://login.example."
    )
    oidc_client_id: str = Field("", description="The desk's client id at the OpenID provider.")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="The desk's client secret at the OpenID provider.")

    @field_validator("url", "oidc_issuer")
    @classmethod
    def _web_page(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise ValueError("This is not a URL like https://desk.example.")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _complete_provider(self) -> Self:
        if self.oidc_issuer and not (self.oidc_client_id and self.oidc_client_secret.get_secret_value()):
            raise ValueError(
                "MONEYBACK_DESK_OIDC_ISSUER is set, but not MONEYBACK_DESK_OIDC_CLIENT_ID and "
                "MONEYBACK_DESK_OIDC_CLIENT_SECRET. Set all three, or none."
            )
        return self
