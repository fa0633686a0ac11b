"""Logs: structlog to standard output, pretty on a terminal, otherwise one JSON object a line."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from io import StringIO
from typing import Any, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from service.settings import Settings
from service.visible import visible, visible_lines


class _Forgiving:
    """A stream that loses what cannot be written, as the standard library's handlers do.

    A full disk or a log collector that has ended must not turn what was done into a failure.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure_logs(settings: Settings, *, process: str) -> None:
    """Set up structlog and route the standard library's loggers through it. `process` names the emitter."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    pretty = settings.log_format == "pretty" or (settings.log_format == "auto" and sys.stdout.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # Tracebacks without local variables: those hold passwords and customers.
    render: list[Processor] = (
        [_values_visible, structlog.dev.ConsoleRenderer(exception_formatter=_traceback)]
        if pretty
        else [
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(ensure_ascii=False),
            _line_visible,
        ]
    )
    # Our own lines take the straight way: through the standard library's loggers each would cost several times as much.
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Forgiving(sys.stdout))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The client libraries narrate every connection; their failures surface as our own lines.
    for name in ("aio_pika", "aiormq", "aiohttp.access", "asyncio", "mail.log"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(process=process)


def _values_visible(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: visible(value) if isinstance(value, str) else value for name, value in event.items()}


def _line_visible(_logger: WrappedLogger, _method: str, line: Any) -> Any:  # noqa: ANN401 - structlog's own types
    return visible(line)


def _traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write(visible_lines(text.getvalue()))
