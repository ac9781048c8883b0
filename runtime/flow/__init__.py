"""Flows: plain coroutines with durable operations, driven and replayed by an engine of our own."""
