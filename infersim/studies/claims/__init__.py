"""Claims of the inference market, put to the test: each is simulated, measured against what was claimed, and judged.

    settled = settle(only=[8])
    settled.claims      # one row a claim: verdict, conditions, what it hinges on
    settled.checks      # one row a number, with interval, what was claimed, and the runs that it comes from

What is claimed and how it is put to the test stands in `chips.py`, `racks.py`, `software.py` and `market.py`, over the
scenarios in `scenarios/claims/`. Read `claim.py` first.
"""

from infersim.studies.claims.chips import CHIPS
from infersim.studies.claims.claim import Claim
from infersim.studies.claims.market import MARKET
from infersim.studies.claims.racks import RACKS
from infersim.studies.claims.settle import Settled, settle
from infersim.studies.claims.software import SOFTWARE

CLAIMS: tuple[Claim, ...] = tuple(sorted((*CHIPS, *RACKS, *SOFTWARE, *MARKET), key=lambda claim: claim.number))
"""All claims, by number."""

__all__ = ["CLAIMS", "Claim", "Settled", "settle"]
