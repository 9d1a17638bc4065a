"""How many files a process may have open: every connection is one."""

from __future__ import annotations

import resource

import click

__all__ = ["allow_descriptors"]

# Beside the connections: the loop, pipes, what Python opens.
OTHERS = 64


def allow_descriptors(connections: int) -> None:
    """Raise the soft limit of this process and of those it starts so that ``connections`` are possible.

    Raises ``click.ClickException`` if the hard limit forbids it.
    """
    wanted = connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise click.ClickException(
            f"{connections:,} connections need {wanted:,} open files a process; the hard limit is {hard:,}: "
            f"raise it (ulimit -Hn {wanted}, as root) or ask for at most {hard - OTHERS:,} connections"
        )
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
