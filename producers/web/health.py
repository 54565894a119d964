"""Whether this process lives, whether it can work, and how much there is to do."""

from collections.abc import Iterator

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from domain.states import State
from producers.web.api.responses import problems
from producers.web.dependencies import TheRecords
from producers.web.problems import Kind, ProblemError
from records import Records, schema

health = APIRouter(tags=["operation"])


class Health(BaseModel):
    """An answer for a load balancer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready"}]})

    status: str


class _Meters(Collector):
    """Reads the numbers when they are asked for: the database has them, so no process keeps any."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def collect(self) -> Iterator[Metric]:
        """Every number, in one transaction."""
        with self._records.work() as work:
            counts, lanes, letters = work.views.counts(), work.outbox.waiting(), work.letters.count_sent()
            published = work.tasks.count()
        cases = GaugeMetricFamily("moneyback_cases", "Cases by state.", labels=["state"])
        waiting = GaugeMetricFamily("moneyback_outbox_waiting", "Messages that wait for the relay.", labels=["lane"])
        oldest = GaugeMetricFamily(
            "moneyback_outbox_oldest_seconds", "How long the oldest message has waited.", labels=["lane"]
        )
        for state in State:
            cases.add_metric([state], counts.get(state, 0))
        for lane, (count, seconds) in lanes.items():
            waiting.add_metric([lane], count)
            oldest.add_metric([lane], seconds)
        yield from (cases, waiting, oldest)
        yield CounterMetricFamily("moneyback_letters_sent", "Letters that were sent.", value=letters)
        yield CounterMetricFamily("moneyback_tasks_published", "Tasks for people that were published.", value=published)
        yield GaugeMetricFamily(
            "moneyback_tasks_waiting",
            "Cases that wait for a person: each has one open task.",
            value=counts.get(State.WITH_SUPPORT, 0),
        )


@health.get("/healthz", summary="Is the process alive?")
async def alive() -> Health:
    """Says that the process answers; nothing else is asked."""
    return Health(status="alive")


@health.get("/readyz", summary="Can it work?", responses=problems(Kind.NOT_READY))
def ready(request: Request, records: TheRecords) -> Health:
    """Says that the database answers and is at the version this program was written for, or at a later one."""
    present = schema.present(records.engine)
    if not schema.suits(present):
        raise ProblemError(
            Kind.NOT_READY,
            f"The database is at version {present or 'none'}, this program needs {request.app.state.schema}. "
            "Run: moneyback migrate",
        )
    return Health(status="ready")


@health.get("/metrics", summary="Numbers for Prometheus", response_class=Response, responses=problems(Kind.DOWN))
def metrics(records: TheRecords) -> Response:
    """The numbers in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Meters(records))
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})
