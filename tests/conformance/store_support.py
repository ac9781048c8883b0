"""The short ways to cases, records and frames, under the name by which tests beside the suite know them."""

from casework.runtime.store.conformance.support import NODE as NODE
from casework.runtime.store.conformance.support import NOW as NOW
from casework.runtime.store.conformance.support import TENANT as TENANT
from casework.runtime.store.conformance.support import OpenStore as OpenStore
from casework.runtime.store.conformance.support import arrived as arrived
from casework.runtime.store.conformance.support import bounded as bounded
from casework.runtime.store.conformance.support import claimed as claimed
from casework.runtime.store.conformance.support import close as close
from casework.runtime.store.conformance.support import decided as decided
from casework.runtime.store.conformance.support import evidence as evidence
from casework.runtime.store.conformance.support import ids as ids
from casework.runtime.store.conformance.support import key_of as key_of
from casework.runtime.store.conformance.support import next_due as next_due
from casework.runtime.store.conformance.support import note as note
from casework.runtime.store.conformance.support import opening as opening
from casework.runtime.store.conformance.support import parked as parked
from casework.runtime.store.conformance.support import review as review
from casework.runtime.store.conformance.support import take as take
from casework.runtime.store.conformance.support import there as there
from casework.runtime.store.conformance.support import timer as timer
