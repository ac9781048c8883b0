"""Patterns of orchestration: see `casework.actors.patterns.base`."""

from casework.actors.patterns.approval import HumanGate as HumanGate
from casework.actors.patterns.base import Assignment as Assignment
from casework.actors.patterns.base import Code as Code
from casework.actors.patterns.base import Edge as Edge
from casework.actors.patterns.base import Pattern as Pattern
from casework.actors.patterns.base import Use as Use
from casework.actors.patterns.bounds import Bounds as Bounds
from casework.actors.patterns.errors import PatternFailed as PatternFailed
from casework.actors.patterns.evidence import EvidenceGate as EvidenceGate
from casework.actors.patterns.evidence import Need as Need
from casework.actors.patterns.flows import declaring as declaring
from casework.actors.patterns.flows import pattern_flow as pattern_flow
from casework.actors.patterns.manager import Manager as Manager
from casework.actors.patterns.manager import Subtask as Subtask
from casework.actors.patterns.pipeline import Pipeline as Pipeline
from casework.actors.patterns.router import Choice as Choice
from casework.actors.patterns.router import Handoff as Handoff
from casework.actors.patterns.router import Router as Router
from casework.actors.patterns.subscription import Cursor as Cursor
from casework.actors.patterns.subscription import Subscription as Subscription
from casework.actors.patterns.terms import Terms as Terms
from casework.actors.patterns.topic import TOPIC as TOPIC
from casework.actors.patterns.topic import Topic as Topic
from casework.actors.patterns.topic import announce as announce
from casework.actors.patterns.topic import publish as publish
from casework.actors.patterns.verified import Proof as Proof
from casework.actors.patterns.verified import Verified as Verified

__all__ = [
    "Assignment",
    "Bounds",
    "Choice",
    "Code",
    "Cursor",
    "Edge",
    "EvidenceGate",
    "Handoff",
    "HumanGate",
    "Manager",
    "Need",
    "Pattern",
    "PatternFailed",
    "Pipeline",
    "Proof",
    "Router",
    "Subscription",
    "Subtask",
    "TOPIC",
    "Terms",
    "Topic",
    "Use",
    "Verified",
    "announce",
    "declaring",
    "pattern_flow",
    "publish",
]
