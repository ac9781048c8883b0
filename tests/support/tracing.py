"""A provider for tests: its ids are drawn as ours are, so that no test moves the interpreter's own chance."""

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler

from casework.runtime.seams import SystemRandomness
from casework.runtime.telemetry_sdk import SpanIds


def provider(*processors: SpanProcessor, sampler: Sampler = DEFAULT_ON) -> TracerProvider:
    made = TracerProvider(sampler=sampler, shutdown_on_exit=False, id_generator=SpanIds(SystemRandomness()))
    for processor in processors:
        made.add_span_processor(processor)
    return made
