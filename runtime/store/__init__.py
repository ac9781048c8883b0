"""Where cases live: one contract and its implementations."""
