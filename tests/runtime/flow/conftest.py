"""What every test of a flow holds beside its own."""

from collections.abc import Callable, Iterator

import pytest

from casework.runtime.flow.incarnation import Incarnation
from casework.runtime.store.base import CaseStatus


@pytest.fixture(autouse=True)
def _plain_ways_agree(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold what is plain of a case that makes calls to what is found out of it in full, whenever either is asked."""
    declared = vars(Incarnation)["calling"]
    assert isinstance(declared, property)
    assert declared.fget is not None
    plain: Callable[[Incarnation], bool] = declared.fget
    wrong: list[tuple[CaseStatus, object]] = []

    def calling(self: Incarnation) -> bool:
        found = plain(self)
        if found and (self.status is not CaseStatus.OPEN or self.waits()):
            wrong.append((self.status, self.waits()))
        return found

    monkeypatch.setattr(Incarnation, "calling", property(calling))
    yield
    assert not wrong
