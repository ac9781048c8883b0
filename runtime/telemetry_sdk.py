"""What OpenTelemetry's SDK is given of ours: ids for spans, and exporters that stop when they are told to.

The SDK draws ids from the interpreter's one random generator, which belongs to the program that embeds us: who seeds
it would find it moved by every span. And an exporter whose collector is away tries for many seconds more, with pauses
drawn from there too, after everybody has stopped waiting for it.
This module is imported with the first provider that somebody asks for. It does not know where spans go.
"""

from collections.abc import Callable, Sequence
from typing import final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator

from casework.runtime.seams import Randomness


@final
class SpanIds(IdGenerator):
    """Ids drawn from a stream of the world's chance."""

    def __init__(self, randomness: Randomness) -> None:
        self._bits = randomness.stream("trace").getrandbits

    def generate_span_id(self) -> int:
        """Give 64 bits, not all of them 0."""
        return _drawn(self._bits, 64)

    def generate_trace_id(self) -> int:
        """Give 128 bits, not all of them 0."""
        return _drawn(self._bits, 128)

    def is_trace_id_random(self) -> bool:
        """Say that every bit of a trace's id is drawn."""
        return True


@final
class StoppableExporter(SpanExporter):
    """Exports until it is told to stop, by whoever does so first."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._stopped = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export some spans; none once it was told to stop."""
        return SpanExportResult.FAILURE if self._stopped else self._exporter.export(spans)

    def shutdown(self) -> None:
        """Stop; an export that waits to be tried again is given up. Again is harmless."""
        if not self._stopped:
            self._stopped = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have what the exporter itself keeps sent."""
        return self._exporter.force_flush(timeout_millis)


def _drawn(bits: Callable[[int], int], size: int) -> int:
    while not (drawn := bits(size)):
        continue
    return drawn
