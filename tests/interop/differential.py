"""Random streams for our decoders and the published crate's: they agree, or the difference is a known one.

``python -m tests.interop.differential [--cases N] [--seed N] [--line 2|0.12]`` runs as many as it is told to;
the tests run some thousands. The programs have to be built: ``make interop``.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.interop import decoders, streams
from tests.interop.differences import Divergence, divergence, reason
from tests.interop.rpc_peers import PROGRAMS

FOLDER = Path(__file__).parents[2] / "interop" / "target" / "release"

_BATCH = 2000


@dataclass
class Findings:
    """What a run has found."""

    cases: int = 0
    messages: int = 0
    """That both sides accepted, up to where they part."""

    ends: Counter[decoders.End] = field(default_factory=Counter)
    """How the streams ended on which both sides agree."""

    known: Counter[str] = field(default_factory=Counter)
    """The streams on which they do not, by the reason."""

    unknown: list[Divergence] = field(default_factory=list)
    """The same where no reason is known: a fault on one of the sides."""

    def __str__(self) -> str:
        agreed = ", ".join(f"{count:,} {end}" for end, count in sorted(self.ends.items()))
        lines = [
            f"{self.cases:,} streams, {self.messages:,} messages",
            f"agreed: {agreed}",
            "known differences:",
        ]
        lines += [f"{count:8,}  {why}" for why, count in self.known.most_common()]
        for place in self.unknown:
            lines += [
                f"UNKNOWN: {place.case.form.value}, ours {place.ours}, theirs {place.theirs}",
                f"  at {place.at} of {[piece.hex() for piece in place.case.pieces]}",
            ]
        return "\n".join(lines)


def compare(program: Path, cases: int, seed: int) -> Findings:
    """Give random streams, always the same for a seed, to our decoders and to those of a program."""
    chance = random.Random(seed)
    found = Findings()
    while found.cases < cases:
        batch = [streams.case(chance) for _ in range(min(_BATCH, cases - found.cases))]
        for case, theirs in zip(batch, decoders.theirs(program, batch), strict=True):
            ours = decoders.ours(case)
            place = divergence(case, ours, theirs)
            found.cases += 1
            found.messages += sum(
                mine == other for mine, other in zip(ours.messages, theirs.messages, strict=False)
            )
            if place is None:
                found.ends[ours.end] += 1
            elif why := reason(place):
                found.known[why] += 1
            else:
                found.unknown.append(place)
    return found


def main() -> int:
    """Run from the command line; 1 if there is a difference that is not known."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--line", choices=PROGRAMS, action="append", help="default: both")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    status = 0
    for line in options.line or PROGRAMS:
        found = compare(FOLDER / PROGRAMS[line], options.cases, seed)
        print(f"protosocket {line}, seed {seed}: {found}")
        status |= bool(found.unknown)
    return status


if __name__ == "__main__":
    sys.exit(main())
