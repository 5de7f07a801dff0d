"""How often files are run when they are timed, and for how long at most."""

from __future__ import annotations

RUNS = 400
# What a try of a comparison may take. There are some for every file, and of slow models tens of runs tell enough.
DECIDING_SECONDS = 3.0
# And what a try of the candidates' own latencies may take, which are reported.
REPORTED_SECONDS = 8.0
