"""The ledger: durable intents, holds, charges, budgets. SQL and SQLAlchemy live here and nowhere else."""

from .entry import (
    BudgetState,
    Drift,
    Elsewhere,
    Entry,
    GenerationId,
    Intent,
    Per,
    Period,
    Release,
    Restored,
    Settlement,
    Taken,
    Where,
    at,
    micros,
)
from .ledger import Ledger
from .writer import Writer

__all__ = [
    "BudgetState",
    "Drift",
    "Elsewhere",
    "Entry",
    "GenerationId",
    "Intent",
    "Ledger",
    "Per",
    "Period",
    "Release",
    "Restored",
    "Settlement",
    "Taken",
    "Where",
    "Writer",
    "at",
    "micros",
]
