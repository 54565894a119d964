"""Creates the desk with what only the worker can do: render the e-mails to customers, and ask payment providers."""

from email.message import EmailMessage

import structlog
from fastapi import FastAPI
from pydantic import ValidationError

from config.settings import Settings
from config.signed_links import Links
from domain.errors import RefusedError
from producers.desk.app import app
from producers.desk.email_previews import RenderEmail
from records.case_emails import DueEmail
from records.case_views import CaseView
from worker.emails.rendering import render
from worker.provider_questions import ProviderQuestions
from worker.providers import connect_providers
from worker.providers.rate_limiter import RateLimiter

log = structlog.get_logger()

_NO_KEY = "the links in a preview must not work"  # an agent must not open the pages of the customer


def create_desk(settings: Settings) -> FastAPI:
    """Return the desk."""
    return app(settings, render_email=email_renderer(settings), ask_provider=create_provider_questions(settings).ask)


def email_renderer(settings: Settings) -> RenderEmail:
    """Return the function that renders e-mails as the worker does, but with links that do not work."""
    links = Links(settings.public_url, _NO_KEY)

    def render_email(due: DueEmail, view: CaseView) -> EmailMessage:
        return render(due, view, links, settings.mail_from)

    return render_email


def create_provider_questions(settings: Settings) -> ProviderQuestions:
    """Connect the provider accounts. If the desk has not the keys of an account, the desk starts, and asks no provider."""
    try:
        providers = connect_providers(settings)
    except (RefusedError, ValidationError) as error:
        log.warning("desk_asks_no_provider", error=type(error).__name__)
        providers = {}
    # The desk has its own rate limit, because it needs no broker. A person asks rarely.
    return ProviderQuestions(providers, RateLimiter(None))
