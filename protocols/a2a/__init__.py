"""The vocabulary of A2A 1.0 that the rest of Casework speaks."""

from casework.protocols.a2a.types import Artifact as Artifact
from casework.protocols.a2a.types import Message as Message
from casework.protocols.a2a.types import Part as Part
from casework.protocols.a2a.types import Role as Role
from casework.protocols.a2a.types import TaskState as TaskState

__all__ = ["Artifact", "Message", "Part", "Role", "TaskState"]
