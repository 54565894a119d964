"""Logging: the same words as the table of states, one JSON object a line where no person is watching. No personal data."""

import logging
import sys

import structlog

_FRAMES = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # a local may be a customer's address


def set_up(level: int = logging.INFO) -> None:
    """Sets logging up for this process: readable on a terminal, JSON lines elsewhere."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    on_terminal = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    last: structlog.typing.Processor = on_terminal if terminal else structlog.processors.JSONRenderer()
    trace: list[structlog.typing.Processor] = [] if terminal else [structlog.processors.ExceptionRenderer(_FRAMES)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *trace, last],
        ),
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
