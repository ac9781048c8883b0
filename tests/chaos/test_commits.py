"""Commits whose answer is lost: whatever is asked next, PostgreSQL and memory come to the same."""

import pytest
from postgres_server import PostgresServer

from tests.support.chaos_machine import run


@pytest.mark.promise("STORE-16")
def test_a_commit_whose_answer_is_lost_has_happened_once_or_not_at_all_and_reading_tells(
    postgres: PostgresServer,
) -> None:
    seen = run(postgres, examples=6, steps=20, tell=print)
    assert seen.happened > 0, "some had happened"
    assert seen.absent > 0, "some had not"
