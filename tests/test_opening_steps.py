"""Opening and closing, disturbed at every step: nothing stays open, and the process lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trustme

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scheme", ["tcp", "unix", "tls", "tls-callbacks"])
@pytest.mark.parametrize("transport", ["aiofastnet", "loop"])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_every_step(loop: str, transport: str, scheme: str, unix_path: str) -> None:
    """Streams, an RPC pool, a cache client, a gRPC channel, and their servers; see ``opening_steps``."""
    folder = Path(unix_path).parent
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    arguments = ["-X", "faulthandler", "-m", "tests.opening_steps", loop, transport, scheme, str(folder)]
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
