"""Where spans go: the exporters that OpenTelemetry's standard environment variables ask for.

The SDK is imported only if they ask for something. What cannot be had is one warning that says what to do, and no
span is recorded. It does not know what is traced.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, final

from casework.runtime.seams import Randomness, ThreadOffload

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from casework.runtime.telemetry_sdk import StoppableExporter

#: Spans that wait for export at most, unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise: a burst of some thousand cases.
QUEUE_SPANS_MAX: Final = 16_384
#: What the service is called if nothing else says so.
SERVICE: Final = "casework"

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_LOGGER: Final = logging.getLogger(__name__)


@final
class Exporting:
    """A provider of our own, with the exporters that its spans go to."""

    def __init__(self, provider: "TracerProvider", exporters: "Sequence[StoppableExporter]") -> None:
        self.provider = provider
        self._exporters = exporters

    def shutdown(self, timeout_seconds: float) -> None:
        """Send what waits and stop, for at most so many seconds; blocks."""
        ended: list[bool] = []

        def end() -> None:
            self.provider.shutdown()
            ended.append(True)

        # The SDK's own bound is 30 seconds and more; in a thread of its own nobody waits longer than we say.
        ThreadOffload().thread("casework-telemetry-shutdown", end).join(timeout_seconds)
        if not ended:
            for exporter in self._exporters:
                exporter.shutdown()


def exporting_asked_for(environ: Mapping[str, str], randomness: Randomness) -> Exporting | None:
    """Make the provider that the standard environment variables ask for, if they ask for one."""
    made = _exporters(environ)
    if not made:
        return None
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from casework.runtime.telemetry_sdk import SpanIds, StoppableExporter

    named = environ.get("OTEL_SERVICE_NAME") or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    # No handler at exit: it would wait for a dead collector longer than anybody wants; `shutdown` does it.
    provider = TracerProvider(
        resource=Resource.create({} if named else {"service.name": SERVICE}),
        shutdown_on_exit=False,
        id_generator=SpanIds(randomness),
    )
    queue = None if environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else QUEUE_SPANS_MAX
    exporters = [StoppableExporter(exporter) for exporter in made]
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=queue))
    return Exporting(provider, exporters)


def _exporters(environ: Mapping[str, str]) -> "list[SpanExporter]":
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    asked = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not asked and any(environ.get(name) for name in _ENDPOINTS):
        asked = "otlp"
    made: list[SpanExporter] = []
    for name in filter(None, (part.strip() for part in asked.split(","))):
        if name == "otlp":
            made.extend(_otlp(environ))
        elif name == "console":
            from opentelemetry.sdk.trace.export import ConsoleSpanExporter

            made.append(ConsoleSpanExporter(out=sys.stderr))
        elif name != "none":
            _LOGGER.warning("no traces are exported to %r: use otlp, console or none", name)
    return made


def _otlp(environ: Mapping[str, str]) -> "list[SpanExporter]":
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in {None, "", "http/protobuf"}:
        _LOGGER.warning("no traces are exported by %s: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", protocol)
        return []
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        _LOGGER.warning("no traces are exported: install casework[otlp], or unset %s", _ENDPOINTS[1])
        return []
    return [OTLPSpanExporter()]
