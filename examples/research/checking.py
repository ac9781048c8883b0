"""Whether a claim stands: its sentence must be on its page, and every figure of the claim in that sentence.

A plain function; it does not know who wrote the claim.
"""

import re
from typing import Final

from examples.research.messages import Checked, Claim, Page

FIGURE: Final = re.compile(r"\d+(?:[.,]\d+)?")


def check(claim: Claim, page: Page | None) -> Checked:
    """Hold a claim against the page that it names."""
    if page is None or claim.quote.sentence not in page.text.splitlines():
        return Checked(claim, stands=False, why=f"the sentence is not on page {claim.quote.page}")
    figures = FIGURE.findall(claim.quote.sentence)
    wrong = [figure for figure in FIGURE.findall(claim.text) if figure not in figures]
    if wrong:
        return Checked(claim, stands=False, why=f"{', '.join(wrong)} is not what the source says")
    return Checked(claim, stands=True)
