"""The table in docs/interop.md: what the tests found out about each real peer, as Markdown and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

BEGIN = "<!-- interop:begin -->"
END = "<!-- interop:end -->"
UNTESTED = "–"


class Result(Enum):
    """What a cell of the table says."""

    PASS = "pass"
    FAIL = "**fail**"


@dataclass(frozen=True)
class Peer:
    """A real program or package that holds the other end: a column of its family's table."""

    family: str
    """The heading of the table it stands in, such as ``RPC``: the peers of a family share their features."""

    name: str
    """What it is, and which end, such as ``protosocket-rpc, server``."""

    version: str
    """The published version that ran, read from Cargo.lock or from the installed package, never typed in."""

    def __str__(self) -> str:
        return f"{self.name}, {self.version}"


Cell = tuple[str, str, str]
"""Family, feature, and a peer's heading."""


@dataclass
class Results:
    """All that was found out; families, features and peers stand in the order in which they were met."""

    cells: dict[Cell, Result] = field(default_factory=dict)
    reasons: dict[Cell, str] = field(default_factory=dict)
    """Why a feature fails, for the line under the table."""

    def record(self, peer: Peer, feature: str, *, passed: bool, reason: str = "") -> None:
        """Note the outcome of one test; a feature passes when every test of it does."""
        cell = (peer.family, feature, str(peer))
        if not passed:
            self.cells[cell] = Result.FAIL
            if reason:
                self.reasons[cell] = reason
        else:
            self.cells.setdefault(cell, Result.PASS)

    def render(self) -> str:
        """One Markdown table a family: features downwards, peers across."""
        return "\n\n".join(self._render(family) for family in _unique(cell[0] for cell in self.cells))

    def _render(self, family: str) -> str:
        features = list(_unique(feature for its, feature, _ in self.cells if its == family))
        peers = list(_unique(peer for its, _, peer in self.cells if its == family))
        lines = [f"### {family}", "", _line(["", *peers]), _line(["---", *[":-:"] * len(peers)])]
        for feature in features:
            found = (self.cells.get((family, feature, peer)) for peer in peers)
            lines.append(_line([feature, *(result.value if result else UNTESTED for result in found)]))
        reasons = {cell: why for cell, why in self.reasons.items() if cell[0] == family}
        if reasons:
            lines.append("")
            lines.extend(f"* {feature}, {peer}: {why}" for (_, feature, peer), why in reasons.items())
        return "\n".join(lines)


def parse(text: str) -> dict[Cell, Result]:
    """The cells of a page's tables, without those that no test filled."""
    cells: dict[Cell, Result] = {}
    family, peers = "", list[str]()
    for line in between(text).splitlines():
        if line.startswith("### "):
            family = line.removeprefix("### ")
        elif line.startswith("|"):
            first, *others = (part.strip() for part in line.strip("|").split("|"))
            if first == "":
                peers = others
            elif first.strip("-"):
                cells.update(
                    {
                        (family, first, peer): Result(result)
                        for peer, result in zip(peers, others, strict=True)
                        if result != UNTESTED
                    }
                )
    return cells


def between(page: str) -> str:
    """What stands between the markers of a page."""
    return page.partition(BEGIN)[2].partition(END)[0].strip()


def rewritten(page: str, tables: str) -> str:
    """The page with these tables between its markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} with an {END} after it")
    return f"{before}{begin}\n\n{tables}\n\n{end}{after}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _unique(names: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(names)
