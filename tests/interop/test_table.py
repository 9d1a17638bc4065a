"""The table in docs/interop.md says what the tests find; this runs after all the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interop.conftest import COMPLETE, RESULTS
from tests.interop.table import BEGIN, END, Peer, Results, between, parse, rewritten

PAGE = Path(__file__).parents[2] / "docs" / "interop.md"

OLD = Peer("RPC", "crate, client", "0.1.2")
NEW = Peer("RPC", "crate, client", "2.0.0")


def found() -> Results:
    results = Results()
    results.record(OLD, "unary", passed=True)
    results.record(NEW, "unary", passed=True)
    results.record(NEW, "cancel", passed=True)
    results.record(NEW, "cancel", passed=False, reason="never answers")
    results.record(NEW, "cancel", passed=True)
    results.record(Peer("Cache", "server", "1"), "get", passed=True)
    return results


def test_rendering() -> None:
    assert found().render() == (
        "### RPC\n\n"
        "|  | crate, client, 0.1.2 | crate, client, 2.0.0 |\n"
        "| --- | :-: | :-: |\n"
        "| unary | pass | pass |\n"
        "| cancel | – | **fail** |\n\n"
        "* cancel, crate, client, 2.0.0: never answers\n\n"
        "### Cache\n\n"
        "|  | server, 1 |\n"
        "| --- | :-: |\n"
        "| get | pass |"
    )


def test_a_page_is_rewritten_between_its_markers() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nMore.\n"
    new = rewritten(page, found().render())
    assert new.startswith("# Title\n\n")
    assert new.endswith(f"{END}\n\nMore.\n")
    assert between(new) == found().render()
    assert parse(new) == found().cells
    with pytest.raises(ValueError, match="interop:begin"):
        rewritten("no markers", "")


def test_the_committed_table_is_what_this_run_found(pytestconfig: pytest.Config) -> None:
    results, complete = pytestconfig.stash[RESULTS], pytestconfig.stash[COMPLETE]
    page: Path | None = pytestconfig.getoption("--interop-table", default=None)
    if page is not None:
        assert complete, "only a full run of tests/interop in which nothing was skipped can write the table"
        page.write_text(rewritten(page.read_text(), results.render()))
        return
    committed = parse(PAGE.read_text())
    stale = "the table is stale: pytest tests/interop --interop-table docs/interop.md"
    different = {cell: result for cell, result in results.cells.items() if committed.get(cell) != result}
    assert not different, stale
    if complete:
        assert between(PAGE.read_text()) == results.render(), stale
