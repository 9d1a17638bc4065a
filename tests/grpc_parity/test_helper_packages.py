"""gRPC's public helper packages, as they are from PyPI: health checks, reflection, rich errors, traces."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc import StatusCode
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from opentelemetry.instrumentation.grpc import aio_client_interceptors, aio_server_interceptor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from tests.grpc_parity.handlers import Context, count_up, echo_all, exclaim, join_all
from tests.grpc_parity.interop_service import add_interop
from tests.grpc_parity.protos import interop_pb2
from tests.grpc_parity.world import World

# Untyped functions.
_client_interceptors: Any = aio_client_interceptors
_server_interceptor: Any = aio_server_interceptor

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def health_server(world: World) -> tuple[health.aio.HealthServicer, Any]:
    servicer = health.aio.HealthServicer()
    server = world.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return servicer, health_pb2_grpc.HealthStub(world.channel(f"127.0.0.1:{port}"))


async def test_health_check(world: World) -> None:
    servicer, stub = await health_server(world)
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == SERVING
    unknown = stub.Check(health_pb2.HealthCheckRequest(service="a.B"))
    assert await unknown.code() is StatusCode.NOT_FOUND
    await servicer.set("a.B", NOT_SERVING)
    assert (await stub.Check(health_pb2.HealthCheckRequest(service="a.B"))).status == NOT_SERVING


async def test_health_watch(world: World) -> None:
    servicer, stub = await health_server(world)
    call = stub.Watch(health_pb2.HealthCheckRequest(service="a.B"))
    assert (await call.read()).status == UNKNOWN
    await servicer.set("a.B", SERVING)
    assert (await call.read()).status == SERVING
    await servicer.enter_graceful_shutdown()
    assert (await call.read()).status == NOT_SERVING
    call.cancel()


async def test_reflection(world: World) -> None:
    service = interop_pb2.DESCRIPTOR.services_by_name["TestService"].full_name
    server = world.server()
    add_interop(server)
    reflection.enable_server_reflection([service, reflection.SERVICE_NAME], server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel: Any = world.channel(f"127.0.0.1:{port}")
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = await call.read()
    assert {each.name for each in listed.list_services_response.service} == {service, reflection.SERVICE_NAME}
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=service))
    found = await call.read()
    file = FileDescriptorProto.FromString(found.file_descriptor_response.file_descriptor_proto[0])
    assert file.name == interop_pb2.DESCRIPTOR.name
    await call.write(reflection_pb2.ServerReflectionRequest(file_by_filename="nowhere.proto"))
    missing = await call.read()
    assert missing.error_response.error_code == StatusCode.NOT_FOUND.value[0]
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


def rich_status() -> Any:
    violation = BadRequest.FieldViolation(field="name", description="is empty")
    status = Status(code=StatusCode.INVALID_ARGUMENT.value[0], message="cannot do that: ☃")
    for detail in (
        BadRequest(field_violations=[violation]),
        RetryInfo(retry_delay=Duration(seconds=3)),
    ):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_rich_errors(world: World, kind: str) -> None:
    async def fail(request: bytes, context: Context) -> bytes:
        await context.abort_with_status(rpc_status.to_status(rich_status()))
        return b""

    handlers: dict[str, Any] = {kind: fail}
    joined = await world.join(**handlers)
    call = getattr(joined, kind)(b"")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call.read() if kind == "unary_stream" else call)
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "cannot do that: ☃"
    received: Any = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert received == rich_status()
    retry = RetryInfo()
    assert received.details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 3
    assert await rpc_status.aio.from_call(call) == rich_status()


async def test_an_error_without_rich_details(world: World) -> None:
    async def fail(request: bytes, context: Context) -> bytes:
        await context.abort(StatusCode.NOT_FOUND, "plain")
        return b""

    joined = await world.join(unary_unary=fail)
    call = joined.unary_unary(b"")
    assert await call.code() is StatusCode.NOT_FOUND
    assert await rpc_status.aio.from_call(call) is None


class Traces:
    """Everything OpenTelemetry's gRPC instrumentation saw on both sides."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        # One that lives until the program ends starts threads in every process that is forked, before that
        # runs its own program: some never came to it.
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    async def join(self, world: World, **handlers: Any) -> Any:
        return await world.join(
            **handlers,
            interceptors=_client_interceptors(tracer_provider=self._provider),
            server_interceptors=[_server_interceptor(tracer_provider=self._provider)],
        )

    def spans(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.kind is kind]


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_traces(world: World, kind: str) -> None:
    traces = Traces()
    joined = await traces.join(
        world, unary_unary=exclaim, unary_stream=count_up, stream_unary=join_all, stream_stream=echo_all
    )
    call = getattr(joined, kind)(iter([b"2"]) if kind.startswith("stream") else b"2")
    if kind.endswith("stream"):
        assert len([each async for each in call]) > 0
    else:
        await call
    assert await call.code() is StatusCode.OK
    await joined.server.stop(5)
    (client,), (server,) = traces.spans(SpanKind.CLIENT), traces.spans(SpanKind.SERVER)
    assert client.name == server.name == f"/parity.Test/{kind}"
    assert client.context is not None
    assert server.context is not None
    assert server.parent is not None
    assert server.context.trace_id == client.context.trace_id
    assert server.parent.span_id == client.context.span_id
    assert dict(server.attributes or {})["rpc.grpc.status_code"] == 0
    assert dict(server.attributes or {})["rpc.service"] == "parity.Test"


async def test_traces_of_an_error(world: World) -> None:
    async def fail(request: bytes, context: Context) -> bytes:
        await context.abort(StatusCode.NOT_FOUND, "nowhere")
        return b""

    traces = Traces()
    joined = await traces.join(world, unary_unary=fail)
    with pytest.raises(grpc.aio.AioRpcError):
        await joined.unary_unary(b"")
    await joined.server.stop(5)
    (client,), (server,) = traces.spans(SpanKind.CLIENT), traces.spans(SpanKind.SERVER)
    assert not client.status.is_ok
    assert dict(client.attributes or {})["rpc.grpc.status_code"] == StatusCode.NOT_FOUND.value[0]
    assert dict(server.attributes or {})["rpc.grpc.status_code"] == StatusCode.NOT_FOUND.value[0]
