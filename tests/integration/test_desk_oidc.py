"""Tests of the sign-in at an OpenID provider: the provider says who the user is, and the roles stay ours."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from joserfc.jwk import ECKey
from pydantic import SecretStr

from config.desk_settings import DeskSettings
from config.settings import Settings
from domain.desk_roles import Role
from domain.desk_users import RoleGrant
from records import Records
from tests.doubles.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider, openid_provider
from tests.integration._desk_fixtures import Desk, running_desk

EMAIL, URL = "ada@desk.example", "http://127.0.0.1:8001"
REFUSED = "We couldn’t sign you in with your company account."


@dataclass
class Site:
    """A desk with an OpenID provider."""

    desk: Desk
    provider: OpenIdProvider

    def start(self, client: httpx.Client, next_path: str = "/") -> str:
        """Start a sign-in, approve it at the provider, and return the path to which the browser returns."""
        response = client.get("/sign-in/provider", params={"next": next_path})
        assert response.status_code == 303, response.text
        return self.provider.approve(response.headers["location"]).removeprefix(URL)


@pytest.fixture
def site(settings: Settings, records: Records) -> Iterator[Site]:
    """Yield a desk with a provider whose user has a verified address. Leads need a second factor."""
    with openid_provider(f"{URL}/sign-in/provider/callback") as provider:
        provider.claims = {"email": EMAIL, "email_verified": True}
        values = {
            "url": URL,
            "oidc_issuer": provider.url,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": SecretStr(CLIENT_SECRET),
        }
        with running_desk(settings, records, **values) as desk:
            yield Site(desk, provider)


def test_a_user_signs_in_at_the_provider_with_the_roles_of_the_desk(site: Site) -> None:
    site.desk.add_user("ADA@desk.example", RoleGrant(Role.LEAD, "aurora"))
    client = site.desk.client()
    assert "Sign in with your company account" in client.get("/sign-in").text
    finished = client.get(site.start(client, "/emails"))
    assert (finished.status_code, finished.headers["location"]) == (303, "/emails")
    account = client.get("/account").text
    assert "Lead of aurora" in account, "The provider decides about the second factor of its users."
    assert site.desk.events()[-1][0] == "signed_in"


def test_a_user_of_the_provider_need_not_change_a_one_time_password(site: Site) -> None:
    with site.desk.records.work() as work:
        work.desk_users.add(EMAIL, "Ada", [RoleGrant(Role.AGENT)], actor=None, password_hash="of a typed password")
    client = site.desk.client()
    assert client.get(site.start(client)).status_code == 303
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "stranger@desk.example"},
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email": None},
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"aud": "another client"},
        {"iss": "https://evil.example"},
        {"exp": 1_700_000_000},
        {"exp": None},
    ],
    ids=str,
)
def test_an_id_token_that_proves_too_little_is_refused(site: Site, claims: dict[str, object]) -> None:
    site.desk.add_user(EMAIL, RoleGrant(Role.AGENT))
    site.provider.claims |= claims
    client = site.desk.client()
    finished = client.get(site.start(client))
    assert (finished.status_code, REFUSED in finished.text) == (422, True)
    assert client.get("/").status_code == 303


def test_an_id_token_with_another_signature_is_refused(site: Site) -> None:
    site.desk.add_user(EMAIL, RoleGrant(Role.AGENT))
    site.provider.sign_with = ECKey.generate_key("P-256")
    client = site.desk.client()
    assert client.get(site.start(client)).status_code == 422


def test_only_the_browser_that_started_can_finish(site: Site) -> None:
    """Otherwise, an attacker could sign a victim in with the attacker's account, or use a stolen code."""
    site.desk.add_user(EMAIL, RoleGrant(Role.AGENT))
    attacker, victim = site.desk.client(), site.desk.client()
    path = site.start(attacker)
    assert victim.get(path).status_code == 422
    site.start(victim)
    assert victim.get(path).status_code == 422, "The state is of another sign-in."


def test_a_code_is_exchanged_once(site: Site) -> None:
    site.desk.add_user(EMAIL, RoleGrant(Role.AGENT))
    client = site.desk.client()
    path, cookies = site.start(client), dict(client.cookies)
    assert client.get(path).status_code == 303
    repeated = site.desk.client()
    for name, value in cookies.items():
        repeated.cookies.set(name, value, domain=repeated.base_url.host)
    assert repeated.get(path).status_code == 422


def test_a_code_without_the_verifier_of_its_sign_in_is_refused(site: Site) -> None:
    """An attacker who stole a code cannot use it in a sign-in of the attacker's own, because the verifier differs."""
    site.desk.add_user(EMAIL, RoleGrant(Role.AGENT))
    victim, attacker = site.desk.client(), site.desk.client()
    stolen = httpx.URL(site.start(victim)).params["code"]
    own = httpx.URL(site.start(attacker))
    assert attacker.get(str(own.copy_set_param("code", stolen))).status_code == 422


def test_the_sign_in_at_the_provider_leads_to_no_other_site(site: Site) -> None:
    site.desk.add_user(EMAIL, RoleGrant(Role.AGENT))
    client = site.desk.client()
    assert client.get(site.start(client, "//evil.example")).headers["location"] == "/"


def test_a_provider_that_is_down_is_no_error_of_the_desk(site: Site) -> None:
    broken = site.desk.settings.desk.model_copy(update={"oidc_issuer": "http://127.0.0.1:9"})
    with running_desk(site.desk.settings, site.desk.records, **broken.model_dump()) as desk:
        response = desk.client().get("/sign-in/provider")
    assert (response.status_code, REFUSED in response.text) == (422, True)


def test_a_desk_without_a_provider_has_no_such_page(desk: Desk) -> None:
    assert desk.client().get("/sign-in/provider").status_code == 404
    assert "company account" not in desk.client().get("/sign-in").text


def test_a_provider_without_client_id_and_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="Set all three, or none"):
        DeskSettings(oidc_issuer="https://login.example")
