"""The signatures of the webhooks of helpdesks: valid, wrong, old, and copied to another body."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.helpdesks import HELPDESKS
from domain.webhook_signatures import (
    VERIFIERS,
    sign_standard_webhook,
    standard_webhook_key,
    verify,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
BODY = b'{"ticket_id": "35436"}'
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_WHSEC = "whsec_" + base64.b64encode(b"another secret, long enough").decode()

Headers = dict[str, str]


def _hex(algorithm: str, secret: str, content: bytes) -> str:
    return hmac.new(secret.encode(), content, algorithm).hexdigest()


def zendesk(secret: str, at: datetime, body: bytes) -> Headers:
    timestamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    signature = base64.b64encode(hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).digest()).decode()
    return {
        "x-zendesk-webhook-signature": signature,
        "x-zendesk-webhook-signature-timestamp": timestamp,
        "x-zendesk-webhook-invocation-id": "8350205582",
    }


def hub(secret: str, at: datetime, body: bytes) -> Headers:  # noqa: ARG001  # no time is signed
    return {"x-hub-signature": "sha1=" + _hex("sha1", secret, body), "x-zammad-delivery": "1"}


def chatwoot(secret: str, at: datetime, body: bytes) -> Headers:
    timestamp = str(int(at.timestamp()))
    signature = "sha256=" + _hex("sha256", secret, f"{timestamp}.".encode() + body)
    return {"x-chatwoot-signature": signature, "x-chatwoot-timestamp": timestamp, "x-chatwoot-delivery": "d-1"}


def slack(secret: str, at: datetime, body: bytes) -> Headers:
    timestamp = str(int(at.timestamp()))
    signature = "v0=" + _hex("sha256", secret, f"v0:{timestamp}:".encode() + body)
    return {"x-slack-signature": signature, "x-slack-request-timestamp": timestamp}


def standard(secret: str, at: datetime, body: bytes) -> Headers:
    return sign_standard_webhook(secret, "msg_1", at, body)


def basic(secret: str, at: datetime, body: bytes) -> Headers:  # noqa: ARG001  # nothing is signed
    return {"authorization": "Basic " + base64.b64encode(f"moneyback:{secret}".encode()).decode()}


SIGNERS: dict[str, Callable[[str, datetime, bytes], Headers]] = {
    "zendesk": zendesk,
    "freshdesk": basic,
    "zammad": hub,
    "chatwoot": chatwoot,
    "intercom": hub,
    "webhook": standard,
    "slack": slack,
}
WITH_TIME = ["zendesk", "chatwoot", "webhook", "slack"]
SIGNED = [target for target in SIGNERS if target != "freshdesk"]


def secret_of(target: str, *, other: bool = False) -> str:
    if target == "webhook":
        return OTHER_WHSEC if other else WHSEC
    return "another" if other else "secret"


def test_every_helpdesk_that_sends_webhooks_has_a_verifier() -> None:
    assert (
        set(VERIFIERS) == {name for name, settings in HELPDESKS.items() if settings.signature_setting} == set(SIGNERS)
    )


@pytest.mark.parametrize("target", SIGNERS)
def test_a_valid_signature_is_accepted(target: str) -> None:
    headers = SIGNERS[target](secret_of(target), NOW, BODY)
    assert verify(target, secret_of(target), headers, BODY, NOW)


@pytest.mark.parametrize("target", SIGNERS)
def test_another_secret_is_refused(target: str) -> None:
    headers = SIGNERS[target](secret_of(target, other=True), NOW, BODY)
    assert verify(target, secret_of(target), headers, BODY, NOW) is None


@pytest.mark.parametrize("target", SIGNED)
def test_another_body_is_refused(target: str) -> None:
    headers = SIGNERS[target](secret_of(target), NOW, BODY)
    assert verify(target, secret_of(target), headers, BODY + b" ", NOW) is None


@pytest.mark.parametrize("target", SIGNERS)
def test_a_webhook_without_headers_is_refused(target: str) -> None:
    assert verify(target, secret_of(target), {}, BODY, NOW) is None


@pytest.mark.parametrize("target", WITH_TIME)
@pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(minutes=-6)])
def test_a_signature_that_is_too_old_or_from_the_future_is_refused(target: str, age: timedelta) -> None:
    headers = SIGNERS[target](secret_of(target), NOW - age, BODY)
    assert verify(target, secret_of(target), headers, BODY, NOW) is None
    assert verify(target, secret_of(target), headers, BODY, NOW - age)


@pytest.mark.parametrize("target", WITH_TIME)
def test_the_time_of_a_signature_cannot_be_changed(target: str) -> None:
    headers = SIGNERS[target](secret_of(target), NOW - timedelta(minutes=6), BODY)
    recent = SIGNERS[target](secret_of(target), NOW, BODY)
    copied = {name: recent[name] if "timestamp" in name else value for name, value in headers.items()}
    assert verify(target, secret_of(target), copied, BODY, NOW) is None


@pytest.mark.parametrize("target", SIGNERS)
def test_during_a_change_both_secrets_are_valid(target: str) -> None:
    old, new = secret_of(target), secret_of(target, other=True)
    for secret in (old, new):
        assert verify(target, f"{old}, {new}", SIGNERS[target](secret, NOW, BODY), BODY, NOW)


@pytest.mark.parametrize("target", ["zammad", "intercom", "slack"])
def test_a_copied_webhook_has_the_same_id_whatever_its_unsigned_headers_are(target: str) -> None:
    headers = SIGNERS[target](secret_of(target), NOW, BODY)
    first = verify(target, secret_of(target), headers, BODY, NOW)
    assert first == verify(target, secret_of(target), {**headers, "x-zammad-delivery": "2"}, BODY, NOW)


def test_the_example_of_the_specification_has_its_signature() -> None:
    """The example is in the documents of the reference libraries of Standard Webhooks."""
    body = b'{"test": 2432232314}'
    headers = sign_standard_webhook(
        WHSEC, "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), body
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_one_of_several_signatures_is_enough() -> None:
    headers: dict[str, Any] = standard(WHSEC, NOW, BODY)
    headers["webhook-signature"] = "v1,bm9wZQ== " + headers["webhook-signature"]
    assert verify("webhook", WHSEC, headers, BODY, NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_a_secret_of_another_form_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="not a secret like whsec_"):
        standard_webhook_key(secret)
