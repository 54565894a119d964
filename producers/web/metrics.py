"""Metrics for Prometheus. Each request of Prometheus reads the metrics from the database."""

from collections.abc import Iterator

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from domain.states import State
from producers.web.api.responses import problem_responses
from producers.web.dependencies import RecordsDep
from producers.web.problems import ProblemCode
from records import Records

router = APIRouter(tags=["operations"])


class DatabaseCollector(Collector):
    """A collector that reads the metrics from the database, so that processes need no counters in memory."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def collect(self) -> Iterator[Metric]:
        """Yield every metric. One transaction reads all metrics."""
        with self._records.work() as work:
            cases_by_state, queues = work.case_views.counts(), work.outbox.backlog()
            emails, support_tasks = work.case_emails.count_sent(), work.support_tasks.count()
        cases = GaugeMetricFamily("moneyback_cases", "Cases by state.", labels=["state"])
        for state in State:
            cases.add_metric([state], cases_by_state.get(state, 0))
        messages = GaugeMetricFamily(
            "moneyback_outbox_messages", "Messages in the outbox that wait for the relay.", labels=["queue"]
        )
        oldest = GaugeMetricFamily(
            "moneyback_outbox_oldest_message_age_seconds", "Age of the oldest message in the outbox.", labels=["queue"]
        )
        for queue, (count, seconds) in queues.items():
            messages.add_metric([queue], count)
            oldest.add_metric([queue], seconds)
        yield from (cases, messages, oldest)
        yield CounterMetricFamily("moneyback_emails_sent", "E-mails about cases that were sent.", value=emails)
        yield CounterMetricFamily(
            "moneyback_support_tasks_published", "Support tasks that were published.", value=support_tasks
        )
        yield GaugeMetricFamily(
            "moneyback_support_cases_open",
            "Cases that wait for support.",
            value=cases_by_state.get(State.WITH_SUPPORT, 0),
        )


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Get the metrics for Prometheus",
    response_class=Response,
    response_description="The metrics.",
    responses={
        200: {
            "content": {
                "text/plain": {"schema": {"type": "string"}, "example": 'moneyback_cases{state="received"} 0.0'}
            }
        },
        **problem_responses(ProblemCode.SERVICE_UNAVAILABLE),
    },
)
def get_metrics(records: RecordsDep) -> Response:
    """Return the metrics in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(records))
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})
