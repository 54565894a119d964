"""Configures logging: readable lines on a terminal, and JSON lines elsewhere. The logs contain no personal data."""

import logging
import sys

import structlog

# A traceback contains no local variables, because a local variable may contain a customer's address.
_FRAMES = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def set_up(level: int = logging.INFO) -> None:
    """Configure logging for this process."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    is_terminal = sys.stderr.isatty()
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: structlog.typing.Processor = console if is_terminal else structlog.processors.JSONRenderer()
    tracebacks: list[structlog.typing.Processor] = (
        [] if is_terminal else [structlog.processors.ExceptionRenderer(_FRAMES)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tracebacks, renderer],
        ),
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
