"""The ledger: durable intents, holds, charges, budgets. SQL and SQLAlchemy live here and nowhere else."""

from .entry import (
    BudgetState,
    Drift,
    Elsewhere,
    Entry,
    GenerationId,
    Intent,
    Per,
    Release,
    Restored,
    Settlement,
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
    "Release",
    "Restored",
    "Settlement",
    "Where",
    "Writer",
    "at",
    "micros",
]
