"""Sign-in at an OpenID provider: authorization code with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 7636).

The provider says who the user is. The roles are ours: only an address that a desk user has, and that the provider has
verified, opens a session.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import requests
import structlog
from fastapi import APIRouter
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER

from config.desk_settings import DeskSettings
from config.settings import Settings
from domain.desk_events import DeskEvent
from producers.desk.accounts.authentication import Origin
from producers.desk.accounts.cookies import delete_cookie, local_path, read_cookie, set_cookie
from producers.desk.accounts.form import Form, render
from producers.desk.accounts.sign_in import AuthenticatorDep
from producers.web.dependencies import PageDep, RecordsDep, SettingsDep
from producers.web.templating import READ_METHODS, Page

START, CALLBACK = "/sign-in/provider", "/sign-in/provider/callback"
TIMEOUT: Final = 10  # seconds; a user waits for the answer of the provider
MAX_SECONDS: Final = 600  # seconds between the redirect to the provider and the return of the browser
_COOKIE: Final = "moneyback-desk-provider"
_ALGORITHMS: Final = ["RS256", "ES256", "PS256", "EdDSA"]  # asymmetric only: a client secret never signs an ID token
_LEEWAY: Final = 60  # seconds by which the clocks may differ
_REFUSED: Final = (
    "We couldn’t sign you in with your company account. Try again, or ask who manages the users of this desk."
)

_log = structlog.get_logger()

router = APIRouter(include_in_schema=False)


class ProviderError(Exception):
    """The provider did not answer as OpenID Connect demands. Nobody was signed in."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One sign-in at the provider. A signed cookie carries it, because only the browser that started may finish."""

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def new(cls, next_path: str) -> "Flow":
        """Return a new flow with random values."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), next_path)


class OpenIdProvider:
    """The OpenID provider of the settings. Its addresses and keys are read at each sign-in, so a changed key is no error."""

    def __init__(self, settings: DeskSettings) -> None:
        from authlib.integrations.requests_client import OAuth2Session  # noqa: PLC0415  # an extra, see config/extras.py

        self._issuer, self._client_id = settings.oidc_issuer or "", settings.oidc_client_id
        self._client = OAuth2Session(
            settings.oidc_client_id,
            settings.oidc_client_secret.get_secret_value(),
            scope="openid email profile",
            redirect_uri=f"{settings.url}{CALLBACK}",
            code_challenge_method="S256",
            default_timeout=TIMEOUT,
        )

    def authorization_url(self, flow: Flow) -> str:
        """Return the address of the provider to which the browser is sent."""
        endpoint = self._metadata()["authorization_endpoint"]
        url, _ = self._client.create_authorization_url(
            endpoint, state=flow.state, nonce=flow.nonce, code_verifier=flow.verifier
        )
        return str(url)

    def verified_email(self, flow: Flow, code: str) -> str:
        """Exchange the code, check the ID token, and return the address that the provider has verified."""
        from authlib.common.errors import AuthlibBaseError  # noqa: PLC0415  # an extra, see config/extras.py
        from joserfc.errors import JoseError  # noqa: PLC0415  # installed with authlib, which is an extra

        metadata = self._metadata()
        try:
            token = self._client.fetch_token(metadata["token_endpoint"], code=code, code_verifier=flow.verifier)
            claims = self._claims(token, _json(metadata["jwks_uri"]), flow.nonce)
        except (AuthlibBaseError, JoseError, requests.RequestException, KeyError, ValueError) as error:
            raise ProviderError(type(error).__name__) from error
        if claims.get("email_verified") is not True or not isinstance(claims.get("email"), str):
            raise ProviderError("email_not_verified")
        return str(claims["email"])

    def _metadata(self) -> Mapping[str, Any]:
        metadata = _json(f"{self._issuer}/.well-known/openid-configuration")
        if str(metadata.get("issuer", "")).rstrip("/") != self._issuer:
            raise ProviderError("wrong_issuer")
        return metadata

    def _claims(self, token: Mapping[str, Any], keys: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        from authlib.oidc.core import CodeIDToken  # noqa: PLC0415  # an extra, see config/extras.py
        from joserfc import jwt  # noqa: PLC0415  # installed with authlib, which is an extra
        from joserfc.jwk import KeySet  # noqa: PLC0415  # the same

        decoded = jwt.decode(token["id_token"], KeySet.import_key_set(keys), algorithms=_ALGORITHMS)  # type: ignore[arg-type]
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": self._metadata()["issuer"]},
                "aud": {"essential": True, "value": self._client_id},
            },
            params={"nonce": nonce, "client_id": self._client_id, "access_token": token.get("access_token")},
        )
        claims.validate(leeway=_LEEWAY)
        return dict(claims)


@router.api_route(START, methods=READ_METHODS)
def start(request: Request, page: PageDep, settings: SettingsDep) -> Response:
    """Send the browser to the provider."""
    flow = Flow.new(local_path(request.query_params.get("next", "/")))
    try:
        url = OpenIdProvider(settings.desk).authorization_url(flow)
    except (ProviderError, requests.RequestException, KeyError, ValueError) as error:
        return _refuse(page, type(error).__name__)
    response = RedirectResponse(url, HTTP_303_SEE_OTHER)
    set_cookie(response, settings.desk, _signer(settings).dumps(asdict(flow)), name=_COOKIE, seconds=MAX_SECONDS)
    return response


@router.api_route(CALLBACK, methods=READ_METHODS)
def finish(
    request: Request, page: PageDep, records: RecordsDep, settings: SettingsDep, authenticator: AuthenticatorDep
) -> Response:
    """Sign in the user whom the provider names."""
    flow = _read_flow(request, settings)
    if flow is None or not hmac.compare_digest(flow.state.encode(), request.query_params.get("state", "").encode()):
        return _refuse(page, "wrong_state")
    try:
        email = OpenIdProvider(settings.desk).verified_email(flow, request.query_params.get("code", ""))
    except (ProviderError, requests.RequestException) as error:
        return _refuse(page, str(error) if isinstance(error, ProviderError) else type(error).__name__)
    origin = Origin.of(request)
    with records.work() as work:
        credentials = work.desk_users.credentials(email, lock=True)
        if credentials is None:
            evidence = {"why": "unknown_user", "network": origin.network, "by_provider": True}
            work.desk_events.record(DeskEvent.SIGN_IN_FAILED, actor=None, user=None, evidence=evidence)
        else:
            replaces = read_cookie(request, settings.desk)
            token = authenticator.open_session(work, credentials.user, origin, replaces=replaces, by_provider=True)
    if credentials is None:
        return _refuse(page, "unknown_user")
    response = RedirectResponse(local_path(flow.next), HTTP_303_SEE_OTHER)
    set_cookie(response, settings.desk, token)
    delete_cookie(response, settings.desk, _COOKIE)
    return response


def _refuse(page: Page, why: str) -> Response:
    _log.warning("desk_provider_sign_in_refused", why=why)
    return render(page, "sign_in.html", Form.refused({"next": "/"}, {}, _REFUSED), with_provider=True)


def _read_flow(request: Request, settings: Settings) -> Flow | None:
    try:
        values = _signer(settings).loads(read_cookie(request, settings.desk, _COOKIE), max_age=MAX_SECONDS)
    except BadSignature:
        return None
    return Flow(**values)


def _signer(settings: Settings) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        settings.secret_key.get_secret_value(),
        salt="moneyback desk provider",
        signer_kwargs={"digest_method": hashlib.sha256},
    )


def _json(url: str) -> Mapping[str, Any]:
    answer = requests.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    value = answer.json()
    if not isinstance(value, Mapping):
        raise ProviderError("no_json_object")
    return value
