"""The promises of a store as a suite of tests, for whoever writes one: see docs/stores.md."""

from casework.runtime.store.conformance.suite import StoreConformance as StoreConformance
from casework.runtime.store.conformance.support import OpenStore as OpenStore

__all__ = ["OpenStore", "StoreConformance"]
