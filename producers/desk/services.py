"""What the desk uses of other programs' code: the e-mails as the worker renders them, and the answers of payment providers."""

from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from domain.errors import NotPossibleError
from domain.providers import ProviderAnswer
from producers.desk.email_previews import RenderEmail
from producers.desk.provider_links import ProviderLinks
from records.case_emails import DueEmail
from records.case_views import CaseView

AskProvider = Callable[[str, str], ProviderAnswer | None]
"""Asks a provider about a payment: the provider and the charge. Returns None if the account is not connected.

The function answers within a few seconds, also if the provider hangs. It is never called inside a transaction.
"""


def no_email(_: DueEmail, __: CaseView) -> EmailMessage:
    """Render no e-mail."""
    raise NotPossibleError("This desk cannot show emails. Start it with: moneyback desk")


def ask_no_provider(_: str, __: str) -> None:
    """Ask no provider."""


@dataclass(frozen=True, slots=True)
class DeskServices:
    """The services of the desk."""

    render_email: RenderEmail
    ask_provider: AskProvider
    provider_links: ProviderLinks


async def get_services(connection: HTTPConnection) -> DeskServices:
    """Return the services of the desk."""
    services = connection.app.state.desk_services
    assert isinstance(services, DeskServices)
    return services


DeskServicesDep = Annotated[DeskServices, Depends(get_services)]
