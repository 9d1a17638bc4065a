"""The server of gRPC's interoperability tests, as its published description asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from tests.grpc_parity.protos import interop_pb2 as pb
from tests.grpc_parity.protos import interop_pb2_grpc as stubs

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"

CODES = {code.value[0]: code for code in grpc.StatusCode}


class Interop(stubs.TestServiceServicer):
    """Echoes metadata and status, answers with as many bytes as were asked for."""

    async def EmptyCall(self, request: pb.Empty, context: Any) -> pb.Empty:
        return pb.Empty()

    async def UnaryCall(self, request: pb.SimpleRequest, context: Any) -> pb.SimpleResponse:
        await self._echo(context)
        await self._end_as_asked(request, context)
        return pb.SimpleResponse(payload=pb.Payload(body=bytes(request.response_size)))

    async def StreamingOutputCall(
        self, request: pb.StreamingOutputCallRequest, context: Any
    ) -> AsyncIterator[pb.StreamingOutputCallResponse]:
        for parameters in request.response_parameters:
            if parameters.interval_us:
                await asyncio.sleep(parameters.interval_us / 1e6)
            yield pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(parameters.size)))

    async def StreamingInputCall(
        self, request_iterator: AsyncIterator[pb.StreamingInputCallRequest], context: Any
    ) -> pb.StreamingInputCallResponse:
        total = 0
        async for request in request_iterator:
            total += len(request.payload.body)
        return pb.StreamingInputCallResponse(aggregated_payload_size=total)

    async def FullDuplexCall(
        self, request_iterator: AsyncIterator[pb.StreamingOutputCallRequest], context: Any
    ) -> AsyncIterator[pb.StreamingOutputCallResponse]:
        await self._echo(context)
        async for request in request_iterator:
            await self._end_as_asked(request, context)
            async for response in self.StreamingOutputCall(request, context):
                yield response

    async def _echo(self, context: Any) -> None:
        for key, value in context.invocation_metadata():
            if key == INITIAL:
                await context.send_initial_metadata(((key, value),))
            elif key == TRAILING:
                context.set_trailing_metadata(((key, value),))

    async def _end_as_asked(
        self, request: pb.SimpleRequest | pb.StreamingOutputCallRequest, context: Any
    ) -> None:
        if request.HasField("response_status"):
            await context.abort(CODES[request.response_status.code], request.response_status.message)


def add_interop(server: grpc.aio.Server) -> None:
    """Serve it, without its method that is never implemented."""
    stubs.add_TestServiceServicer_to_server(Interop(), server)  # type: ignore[abstract]
