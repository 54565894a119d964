"""A small OpenID provider: discovery, keys, authorization and token endpoints, as OpenID Connect Core 1.0 describes them.

It checks what a provider must check: the client, the redirect address, the code (once), and the PKCE verifier. A test signs a
user in by `approve()`, and changes `claims` or `sign_with` to see what the desk refuses.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

CLIENT_ID, CLIENT_SECRET = "desk", "a client secret"


@dataclass
class OpenIdProvider:
    """The state of the provider."""

    url: str
    redirect_uri: str
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "1", "use": "sig", "alg": "ES256"}))
    sign_with: ECKey | None = None
    """Another key, with which a forger signs."""
    claims: dict[str, Any] = field(default_factory=dict)
    """The claims of the user, and claims that replace the provider's own."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def approve(self, authorization_url: str) -> str:
        """Sign the user in, as the pages of the provider would, and return the address to which the browser returns."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(authorization_url).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["redirect_uri"] == self.redirect_uri
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{self.redirect_uri}?{urlencode({'code': code, 'state': query['state']})}"

    def metadata(self) -> dict[str, str]:
        """Return the document of the discovery."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }

    def keys(self) -> dict[str, Any]:
        """Return the public keys."""
        return dict(KeySet([self.key]).as_dict(private=False))

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Exchange a code for an ID token."""
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET.replace(' ', '%20')}".encode()).decode()
        plain = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if authorization not in {f"Basic {expected}", f"Basic {plain}"}:
            return 401, {"error": "invalid_client"}
        query = self.codes.pop(form.get("code", ""), None)
        if query is None or form.get("redirect_uri") != query["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != query["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        own = {"iss": self.url, "aud": CLIENT_ID, "sub": "1", "iat": now, "exp": now + 300, "nonce": query["nonce"]}
        claims = {name: value for name, value in {**own, **self.claims}.items() if value is not None}
        id_token = jwt.encode({"alg": "ES256", "kid": "1"}, claims, self.sign_with or self.key)
        return 200, {"access_token": "unused", "token_type": "Bearer", "expires_in": 300, "id_token": id_token}


@contextmanager
def openid_provider(redirect_uri: str) -> Iterator[OpenIdProvider]:
    """Run a provider whose only client returns to `redirect_uri`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pages = {"/.well-known/openid-configuration": provider.metadata, "/keys": provider.keys}
            page = pages.get(urlsplit(self.path).path)
            self.reply(200 if page else 404, page() if page else {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self.reply(*provider.token(form, self.headers.get("authorization", "")))

        def reply(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep the output of the tests clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = OpenIdProvider(f"http://127.0.0.1:{server.server_port}", redirect_uri)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
