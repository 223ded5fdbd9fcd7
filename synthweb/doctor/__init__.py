"""What is wrong with this machine and how to mend it: `manage.py doctor`.

Each check is a function that gives one Finding; `CHECKS` is the list of them all. A check never
raises: what it cannot find out is a finding too.
"""

from __future__ import annotations

from synthweb.doctor.findings import Finding, Level, examine
from synthweb.doctor.machine import MACHINE_CHECKS
from synthweb.doctor.services import SERVICE_CHECKS

CHECKS = (*MACHINE_CHECKS, *SERVICE_CHECKS)

__all__ = ["CHECKS", "Finding", "Level", "examine"]
