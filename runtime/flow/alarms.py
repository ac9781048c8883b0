"""The moments that the steps of a running case wait for.

Moments are of the wall's clock, which may jump; an alarm rings when the wall says so, as the case's next message.
It does not know what happens then.
"""

from collections.abc import Callable

from casework.runtime.flow.services import Services
from casework.runtime.timers import Alarm


class Alarms:
    """The alarms of one incarnation of a case, at most one for each step."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._alarms: dict[str, Alarm] = {}

    def set(self, step_id: str, due: int, ring: Callable[[str, int], None]) -> None:
        """Call `ring` with the step and its moment once it has come."""
        services = self._services

        def rung() -> None:
            services.world.point("timer.rings")
            services.cell.tell(lambda: ring(step_id, due))

        self._alarms[step_id] = services.timers.at(due, rung)

    @property
    def ringing(self) -> bool:
        """Tell whether one is about to ring: its moment has come."""
        if not self._alarms:
            return False
        now = self._services.world.clock.wall_micros()
        return any(alarm.moment <= now for alarm in self._alarms.values())

    def drop(self, step_id: str) -> bool:
        """Forget a step's alarm; tell whether there was one."""
        alarm = self._alarms.pop(step_id, None)
        if alarm is not None:
            alarm.cancel()
        return alarm is not None

    def close(self) -> None:
        """Let none ring any more."""
        for step_id in list(self._alarms):
            self.drop(step_id)
