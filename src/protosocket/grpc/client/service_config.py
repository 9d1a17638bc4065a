"""gRPC's service config: what its JSON says about methods, retries and load balancing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

import grpc

from protosocket.errors import OptionError
from protosocket.grpc.client.balancing import POLICIES

__all__ = [
    "HedgingPolicy",
    "MethodConfig",
    "RetryPolicy",
    "ServiceConfig",
    "Throttling",
    "read_service_config",
]

_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s", re.ASCII)
_MOST_ATTEMPTS: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """When and how often a failed call is made again. Times in seconds."""

    attempts: int
    """In all, 2 to 5."""
    first_backoff: float
    longest_backoff: float
    multiplier: float
    codes: frozenset[grpc.StatusCode]
    """The statuses after which it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HedgingPolicy:
    """How often a call is made again before it has failed."""

    attempts: int
    """In all, 2 to 5."""
    delay: float
    """Seconds after which the next attempt is made."""
    codes: frozenset[grpc.StatusCode]
    """The statuses that do not end the call while other attempts run or may be made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodConfig:
    """What is said about a method."""

    wait_for_ready: bool | None = None
    timeout: float | None = None
    """Seconds; the caller's counts if it is shorter."""
    send_limit: int | None = None
    receive_limit: int | None = None
    retry: RetryPolicy | None = None
    hedging: HedgingPolicy | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Throttling:
    """Retries stop while too many calls fail."""

    tokens: float
    """Each failure costs one; below half of them nothing is retried."""
    ratio: float
    """What a success gives back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceConfig:
    """A whole service config."""

    policy: str | None = None
    throttling: Throttling | None = None
    methods: dict[str, MethodConfig] = field(default_factory=dict)
    """By ``/service/method``, ``/service/``, and ``""`` for all others."""

    def without_retries(self) -> ServiceConfig:
        """The same, but each call is made once."""
        methods = {key: replace(each, retry=None, hedging=None) for key, each in self.methods.items()}
        return replace(self, methods=methods)

    def method(self, path: str) -> MethodConfig:
        """What is said about the method at ``path``."""
        service = path.rpartition("/")[0] + "/"
        for key in (path, service, ""):
            if key in self.methods:
                return self.methods[key]
        return MethodConfig()


def read_service_config(text: str) -> ServiceConfig:
    """What ``text`` (JSON) says; raises ``OptionError`` naming what is wrong in it."""
    if not text:
        return ServiceConfig()
    try:
        config = json.loads(text)
        return ServiceConfig(
            policy=_policy(config),
            throttling=_throttling(config.get("retryThrottling")),
            methods=_methods(config.get("methodConfig", [])),
        )
    except OptionError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OptionError(f"the service config cannot be used: {type(error).__name__}: {error}") from error


def _policy(config: dict[str, Any]) -> str | None:
    listed = config.get("loadBalancingConfig")
    if listed is not None:
        names = [name for each in listed for name in each]
        for name in names:
            if name in POLICIES:
                return str(name)
        raise OptionError(f"the service config names no policy that is known: {', '.join(names) or 'none'}")
    name = config.get("loadBalancingPolicy")
    return None if name is None else str(name).lower()


def _throttling(given: dict[str, Any] | None) -> Throttling | None:
    if given is None:
        return None
    tokens, ratio = float(given["maxTokens"]), float(given["tokenRatio"])
    if not 0 < tokens <= 1000 or ratio <= 0:
        raise OptionError("retryThrottling needs maxTokens above 0, up to 1000, and tokenRatio above 0")
    return Throttling(tokens=tokens, ratio=ratio)


def _methods(given: list[dict[str, Any]]) -> dict[str, MethodConfig]:
    methods: dict[str, MethodConfig] = {}
    for each in given:
        made = _method(each)
        for name in each["name"]:
            service, method = name.get("service", ""), name.get("method", "")
            if method and not service:
                raise OptionError(f"methodConfig names the method {method!r} without its service")
            key = f"/{service}/{method}" if service else ""
            if key in methods:
                raise OptionError(f"methodConfig names {key or 'the default'} twice")
            methods[key] = made
    return methods


def _method(given: dict[str, Any]) -> MethodConfig:
    retry, hedging = given.get("retryPolicy"), given.get("hedgingPolicy")
    if retry is not None and hedging is not None:
        raise OptionError("a method has a retryPolicy or a hedgingPolicy, not both")
    return MethodConfig(
        wait_for_ready=given.get("waitForReady"),
        timeout=None if "timeout" not in given else _seconds(given, "timeout"),
        send_limit=_size(given.get("maxRequestMessageBytes")),
        receive_limit=_size(given.get("maxResponseMessageBytes")),
        retry=None if retry is None else _retry(retry),
        hedging=None if hedging is None else _hedging(hedging),
    )


def _retry(given: dict[str, Any]) -> RetryPolicy:
    policy = RetryPolicy(
        attempts=_attempts(given),
        first_backoff=_seconds(given, "initialBackoff"),
        longest_backoff=_seconds(given, "maxBackoff"),
        multiplier=float(given["backoffMultiplier"]),
        codes=_codes(given["retryableStatusCodes"]),
    )
    if policy.first_backoff <= 0 or policy.longest_backoff <= 0 or policy.multiplier <= 0 or not policy.codes:
        raise OptionError("a retryPolicy needs back-offs and a backoffMultiplier above 0, and statuses")
    return policy


def _hedging(given: dict[str, Any]) -> HedgingPolicy:
    delay = _seconds(given, "hedgingDelay") if "hedgingDelay" in given else 0.0
    codes = _codes(given.get("nonFatalStatusCodes", []))
    return HedgingPolicy(attempts=_attempts(given), delay=delay, codes=codes)


def _attempts(given: dict[str, Any]) -> int:
    attempts = int(given["maxAttempts"])
    if attempts < 2:
        raise OptionError(f"maxAttempts is at least 2, not {attempts}")
    return min(attempts, _MOST_ATTEMPTS)


def _codes(given: list[Any]) -> frozenset[grpc.StatusCode]:
    numbers = {code.value[0]: code for code in grpc.StatusCode}
    return frozenset(
        numbers[each] if isinstance(each, int) else grpc.StatusCode[str(each).upper()] for each in given
    )


def _seconds(given: dict[str, Any], key: str) -> float:
    match = _DURATION.fullmatch(str(given[key]))
    if match is None:
        raise OptionError(f"{key} is seconds like '1.5s', not {given[key]!r}")
    return float(match[1])


def _size(given: Any) -> int | None:
    return None if given is None else int(given)
