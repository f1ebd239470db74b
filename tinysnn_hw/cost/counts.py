"""What a run does to its hardware, counted: words read and written, operations, words stored."""

from __future__ import annotations

from dataclasses import dataclass, field

READ, WRITE = "read", "write"
ADD, MULTIPLY, COMPARE, RANDOM_BIT = "add", "multiply", "compare", "random bit"
OPERATIONS = (ADD, MULTIPLY, COMPARE, RANDOM_BIT)
PARTS = ("onset", "input", "trace", "integrate", "fire", "inhibit", "adapt", "learn", "normalize")
"""Parts of a run, in the order of docs/numerics.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Words of one variable read or written in one part of a run.

    Attributes
    ----------
    part, variable : str
    kind : {"read", "write"}
    runs : int
        How many times a run of neighbouring words is read or written.
    words : int
        Words in each run.
    width : int
        Bits of a word.
    follows_read : bool
        A write to where the same run was just read: it finds its DRAM row open.
    """

    part: str
    variable: str
    kind: str
    runs: int
    words: int
    width: int
    follows_read: bool = False

    @property
    def count(self) -> int:
        """Words read or written."""
        return self.runs * self.words


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Operations of one kind and width in one part of a run; ``width2`` is the second factor of a product."""

    part: str
    kind: str
    count: int
    width: int
    width2: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Everything a run did, summed over its images, and what it stores.

    Attributes
    ----------
    accesses : tuple of Access
    operations : tuple of Operation
    stored_bits : dict of str to int
        Variable -> bits it occupies.
    is_float : bool
        Words and operations are 32-bit floating point.
    """

    accesses: tuple[Access, ...]
    operations: tuple[Operation, ...]
    stored_bits: dict[str, int]
    is_float: bool = False

    def words(self, variable: str, kind: str, part: str | None = None) -> int:
        """Return the words of a variable read or written, in one part or in all."""
        return sum(
            access.count
            for access in self.accesses
            if (access.variable, access.kind) == (variable, kind) and part in (None, access.part)
        )

    def operation_count(self, kind: str, part: str | None = None) -> int:
        """Return the operations of one kind, in one part or in all."""
        return sum(op.count for op in self.operations if op.kind == kind and part in (None, op.part))


@dataclass(slots=True)
class Ledger:
    """Collects counts; entries of nothing are left out."""

    accesses: list[Access] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    stored: dict[str, tuple[int, int]] = field(default_factory=dict)
    is_float: bool = False

    def store(self, variable: str, words: int, width: int) -> None:
        """Say how many words a variable has and how wide they are."""
        self.stored[variable] = (words, width)

    def read(self, part: str, variable: str, runs: int, words: int) -> None:
        """Count runs of words read."""
        self._access(part, variable, READ, runs, words)

    def write(self, part: str, variable: str, runs: int, words: int) -> None:
        """Count runs of words written."""
        self._access(part, variable, WRITE, runs, words)

    def update(self, part: str, variable: str, runs: int, words: int) -> None:
        """Count runs of words read, changed and written back."""
        self._access(part, variable, READ, runs, words)
        self._access(part, variable, WRITE, runs, words, follows_read=True)

    def operate(self, part: str, kind: str, count: int, width: int, width2: int | None = None) -> None:
        """Count operations on operands of some width."""
        if count:
            if self.is_float:
                width = width2 = 32
            second = width if width2 is None else width2
            self.operations.append(Operation(part=part, kind=kind, count=count, width=width, width2=second))

    def counts(self) -> Counts:
        """Return what was collected."""
        stored = {name: words * width for name, (words, width) in self.stored.items()}
        return Counts(
            accesses=tuple(self.accesses),
            operations=tuple(self.operations),
            stored_bits=stored,
            is_float=self.is_float,
        )

    def _access(
        self, part: str, variable: str, kind: str, runs: int, words: int, *, follows_read: bool = False
    ) -> None:
        if runs and words:
            self.accesses.append(
                Access(
                    part=part,
                    variable=variable,
                    kind=kind,
                    runs=runs,
                    words=words,
                    width=self.stored[variable][1],
                    follows_read=follows_read,
                )
            )


__all__ = [
    "ADD", "COMPARE", "MULTIPLY", "OPERATIONS", "PARTS", "RANDOM_BIT", "READ", "WRITE", "Access", "Counts",
    "Ledger", "Operation",
]  # fmt: skip
