"""Refund requests of a small web shop, resolved inside its policy."""
