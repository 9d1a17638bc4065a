"""gRPC's published interoperability cases, written from their public description."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import StatusCode
from tests.grpc_parity.interop_service import INITIAL, TRAILING, add_interop
from tests.grpc_parity.protos import interop_pb2 as pb
from tests.grpc_parity.protos import interop_pb2_grpc as stubs
from tests.grpc_parity.world import World

pytestmark = pytest.mark.every_loop

REQUEST_SIZES = [27182, 8, 1828, 45904]
RESPONSE_SIZES = [31415, 9, 2653, 58979]


@pytest_asyncio.fixture
async def channel(world: World) -> AsyncIterator[Any]:
    server = world.server()
    add_interop(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield world.channel(f"127.0.0.1:{port}")


@pytest.fixture
def stub(channel: Any) -> Any:
    return stubs.TestServiceStub(channel)


def payload(size: int) -> pb.Payload:
    return pb.Payload(body=bytes(size))


def ask(request_size: int, *response_sizes: int) -> pb.StreamingOutputCallRequest:
    parameters = [pb.ResponseParameters(size=size) for size in response_sizes]
    return pb.StreamingOutputCallRequest(response_parameters=parameters, payload=payload(request_size))


async def test_empty_unary(stub: Any) -> None:
    assert await stub.EmptyCall(pb.Empty()) == pb.Empty()


async def test_large_unary(stub: Any) -> None:
    response = await stub.UnaryCall(pb.SimpleRequest(response_size=314159, payload=payload(271828)))
    assert response.payload.body == bytes(314159)


async def test_client_streaming(stub: Any) -> None:
    requests = [pb.StreamingInputCallRequest(payload=payload(size)) for size in REQUEST_SIZES]
    assert (await stub.StreamingInputCall(iter(requests))).aggregated_payload_size == 74922


async def test_server_streaming(stub: Any) -> None:
    call = stub.StreamingOutputCall(ask(0, *RESPONSE_SIZES))
    assert [each.payload.body async for each in call] == [bytes(size) for size in RESPONSE_SIZES]
    assert await call.code() is StatusCode.OK


async def test_ping_pong(stub: Any) -> None:
    call = stub.FullDuplexCall()
    for request_size, response_size in zip(REQUEST_SIZES, RESPONSE_SIZES, strict=True):
        await call.write(ask(request_size, response_size))
        assert (await call.read()).payload.body == bytes(response_size)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is StatusCode.OK


async def test_empty_stream(stub: Any) -> None:
    call = stub.FullDuplexCall()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is StatusCode.OK


async def test_cancel_after_begin(stub: Any) -> None:
    call = stub.StreamingInputCall()
    await call.wait_for_connection()
    call.cancel()
    assert await call.code() is StatusCode.CANCELLED
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_cancel_after_first_response(stub: Any) -> None:
    call = stub.FullDuplexCall()
    await call.write(ask(REQUEST_SIZES[0], RESPONSE_SIZES[0]))
    assert (await call.read()).payload.body == bytes(RESPONSE_SIZES[0])
    call.cancel()
    assert await call.code() is StatusCode.CANCELLED
    with pytest.raises(asyncio.CancelledError):
        await call.read()


async def test_timeout_on_sleeping_server(stub: Any) -> None:
    """The server has nothing to answer; a deadline shorter than this passes while the request is written."""
    call = stub.FullDuplexCall(timeout=0.25)
    await call.write(ask(REQUEST_SIZES[0]))
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    assert await call.code() is StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("method", ["UnaryCall", "FullDuplexCall"])
async def test_custom_metadata(stub: Any, method: str) -> None:
    metadata = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))
    if method == "UnaryCall":
        request = pb.SimpleRequest(response_size=314159, payload=payload(271828))
        call = stub.UnaryCall(request, metadata=metadata)
        await call
    else:
        call = stub.FullDuplexCall(metadata=metadata)
        await call.write(ask(271828, 314159))
        await call.read()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
    assert (await call.initial_metadata()).get_all(INITIAL) == ["test_initial_metadata_value"]
    assert (await call.trailing_metadata()).get_all(TRAILING) == [b"\xab\xab\xab"]


async def test_status_code_and_message(stub: Any) -> None:
    await _status_is_echoed(stub, "test status message")


async def test_special_status_message(stub: Any) -> None:
    await _status_is_echoed(stub, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")


async def _status_is_echoed(stub: Any, message: str) -> None:
    status = pb.EchoStatus(code=StatusCode.UNKNOWN.value[0], message=message)
    call = stub.UnaryCall(pb.SimpleRequest(response_status=status))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is StatusCode.UNKNOWN
    assert caught.value.details() == message
    call = stub.FullDuplexCall()
    await call.write(pb.StreamingOutputCallRequest(response_status=status))
    await call.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is StatusCode.UNKNOWN
    assert caught.value.details() == message


async def test_unimplemented_method(stub: Any) -> None:
    assert await stub.UnimplementedCall(pb.Empty()).code() is StatusCode.UNIMPLEMENTED


async def test_unimplemented_service(channel: Any) -> None:
    call: Any = stubs.UnimplementedServiceStub(channel).UnimplementedCall(pb.Empty())
    assert await call.code() is StatusCode.UNIMPLEMENTED
