"""Patterns of orchestration: see `casework.actors.patterns.base`."""

from casework.actors.conflicts import HIGHER_CONFIDENCE as HIGHER_CONFIDENCE
from casework.actors.conflicts import PERSON as PERSON
from casework.actors.conflicts import Checked as Checked
from casework.actors.conflicts import Claim as Claim
from casework.actors.conflicts import ConflictRule as ConflictRule
from casework.actors.conflicts import Dispute as Dispute
from casework.actors.conflicts import HigherConfidence as HigherConfidence
from casework.actors.conflicts import Person as Person
from casework.actors.patterns.alternative import Again as Again
from casework.actors.patterns.alternative import Alternative as Alternative
from casework.actors.patterns.alternative import Instead as Instead
from casework.actors.patterns.alternative import Then as Then
from casework.actors.patterns.approval import HumanGate as HumanGate
from casework.actors.patterns.ballot import Missing as Missing
from casework.actors.patterns.ballot import Tie as Tie
from casework.actors.patterns.base import Assignment as Assignment
from casework.actors.patterns.base import Code as Code
from casework.actors.patterns.base import Edge as Edge
from casework.actors.patterns.base import Pattern as Pattern
from casework.actors.patterns.base import Use as Use
from casework.actors.patterns.bounds import Bounds as Bounds
from casework.actors.patterns.errors import PatternFailed as PatternFailed
from casework.actors.patterns.evidence import EvidenceGate as EvidenceGate
from casework.actors.patterns.evidence import Need as Need
from casework.actors.patterns.fanout import FanOut as FanOut
from casework.actors.patterns.fanout import ForEach as ForEach
from casework.actors.patterns.flows import declaring as declaring
from casework.actors.patterns.flows import pattern_flow as pattern_flow
from casework.actors.patterns.manager import Manager as Manager
from casework.actors.patterns.manager import Subtask as Subtask
from casework.actors.patterns.merging import Collect as Collect
from casework.actors.patterns.merging import Combine as Combine
from casework.actors.patterns.merging import Merge as Merge
from casework.actors.patterns.merging import Resolve as Resolve
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
from casework.actors.patterns.voting import Vote as Vote
from casework.actors.patterns.voting import Voter as Voter

__all__ = [
    "Again",
    "Alternative",
    "Assignment",
    "Bounds",
    "Checked",
    "Choice",
    "Claim",
    "Code",
    "Collect",
    "Combine",
    "ConflictRule",
    "Cursor",
    "Dispute",
    "Edge",
    "EvidenceGate",
    "FanOut",
    "ForEach",
    "HIGHER_CONFIDENCE",
    "Handoff",
    "HigherConfidence",
    "HumanGate",
    "Instead",
    "Manager",
    "Merge",
    "Missing",
    "Need",
    "PERSON",
    "Pattern",
    "PatternFailed",
    "Person",
    "Pipeline",
    "Proof",
    "Resolve",
    "Router",
    "Subscription",
    "Subtask",
    "TOPIC",
    "Terms",
    "Then",
    "Tie",
    "Topic",
    "Use",
    "Verified",
    "Vote",
    "Voter",
    "announce",
    "declaring",
    "pattern_flow",
    "publish",
]
