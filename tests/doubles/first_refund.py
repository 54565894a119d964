"""What happens to the first refund of a payment at a fake provider, as the contract of adapters asks for it."""

from collections.abc import Callable, Mapping

from moneyback_plugin.testing import Fault
from tests.doubles.faulty_server import (
    Answer,
    ClientConnection,
    FaultyServer,
    HttpResponse,
    hang_after,
    no_fault,
    responds_with,
)
from tests.doubles.faulty_server import Fault as ServerFault

BROKEN = HttpResponse(500, b'{"status": 500, "title": "Internal Server Error"}')
FAULTS: Mapping[Fault | None, ServerFault] = {
    Fault.NO_REPLY: hang_after,
    Fault.ERROR_AFTER: responds_with(BROKEN, carries_out=True),
    Fault.ERROR_BEFORE: responds_with(BROKEN),
    None: no_fault,
}
REFUND_PATHS = ("/refund", "/refunds")


class FirstRefund:
    """The fault of the next refund call, and whether the refunds of the newest payment fail. All other calls are answered."""

    def __init__(self, server: FaultyServer, fail_refund: Callable[[], None]) -> None:
        """``fail_refund`` makes the newest refund fail."""
        self._fail_refund = fail_refund
        self._fault: Fault | None = None
        self._fails = False
        server.fault = self._answer

    def plan(self, fault: Fault | None, *, fails: bool) -> None:
        """Say what happens to the refund of the payment that is made now."""
        self._fault, self._fails = fault, fails

    def _answer(self, client: ClientConnection, answer: Answer) -> None:
        if client.method != "POST" or not client.path.endswith(REFUND_PATHS):
            no_fault(client, answer)
            return
        fault, self._fault = self._fault, None
        FAULTS[fault](client, lambda: self._refund(answer))

    def _refund(self, answer: Answer) -> HttpResponse:
        response = answer()
        if self._fails:  # the bank returns the money after the response
            self._fail_refund()
        return response
