"""What is left of a case's mandate: what its tasks and the cases below it may still be given.

A case that another one opened within a mandate gives out no more than it was given: no tool, no tier and no moment
beyond it, and of calls and money no more than there are, all its tasks and cases together. What was given out counts
as used, whether or not it was. Everything is worked out from what the flow asks for, so a replay comes to the same.
It does not know what a task is for.
"""

from typing import final

from msgspec.structs import replace

from casework.protocols.errors import ContractIncomplete, ContractWidened
from casework.protocols.wire import Budget, Mandate, Task, widened_term


@final
class Remainder:
    """What one case may still give out."""

    def __init__(self, mandate: Mandate | None = None) -> None:
        self.left = mandate  #: None: there is no bound

    def task(self, task: Task) -> Task:
        """Give out a task; one that would have longer than the mandate ends with it.

        Raises:
            ContractWidened: it asks for more than is left.
        """
        if self.left is None:
            return task
        within = replace(task, deadline=min(task.deadline, self.left.deadline))
        self._take(task.task, within, self.left)
        return within

    def case(self, flow: str, mandate: Mandate | None) -> Mandate | None:
        """Give out what a case below this one may use.

        Raises:
            ContractIncomplete: it has no mandate, but this case has one.
            ContractWidened: it asks for more than is left.
        """
        if self.left is None:
            return mandate
        if mandate is None:
            raise ContractIncomplete(flow, ("within",))
        within = replace(mandate, deadline=min(mandate.deadline, self.left.deadline))
        self._take(flow, within, self.left)
        return within

    def _take(self, name: str, given: Task | Mandate, left: Mandate) -> None:
        wider = widened_term(given, left)
        if wider is not None:
            raise ContractWidened(name, *wider)
        budget = Budget(
            calls=left.budget.calls - given.budget.calls,
            micros=left.budget.micros - given.budget.micros,
        )
        self.left = replace(left, budget=budget)
