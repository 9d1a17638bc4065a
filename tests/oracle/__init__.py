"""Readable twins of the native core's framing, header scan and splice: the oracle it is compared with.

They are written to be read beside the wire's description, not to be quick. Each works on whole ``bytes``
and keeps no state, apart from ``framing.Decoder``.
"""

from __future__ import annotations
