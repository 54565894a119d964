"""Health checks: whether the process answers, and whether the process can work."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request

from producers.web.api.responses import problem_responses
from producers.web.dependencies import RecordsDep
from producers.web.problems import ProblemCode, ProblemError
from records import migrate

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The result of a health check."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready"}]})

    status: str


@router.get("/healthz", operation_id="getLiveness", summary="Check that the process answers")
async def get_liveness() -> Health:
    """Answer without a call to another service."""
    return Health(status="alive")


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Check that the process can work",
    responses=problem_responses(ProblemCode.NOT_READY, ProblemCode.SERVICE_UNAVAILABLE),
)
def get_readiness(request: Request, records: RecordsDep) -> Health:
    """Check that the database answers, and that its schema has the version of this program or a later version."""
    version = migrate.current_revision(records.engine)
    if not migrate.is_compatible(version):
        raise ProblemError(
            ProblemCode.NOT_READY,
            f"The database is at version {version or 'none'}, this program needs {request.app.state.schema_version}. "
            "Run: moneyback migrate",
        )
    return Health(status="ready")
