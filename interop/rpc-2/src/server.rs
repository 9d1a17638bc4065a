//! The crate's server around the behaviour that all peers share.

use std::error::Error;
use std::marker::PhantomData;
use std::net::SocketAddr;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use protosocket::{
    Codec, Decoder, Encoder, PooledEncoder, SocketListener, TcpSocketListener, TlsSocketListener,
};
use protosocket_messagepack::{MessagePackDecoder, MessagePackSerializer};
use protosocket_prost::{ProstDecoder, ProstSerializer};
use protosocket_rpc::server::{ConnectionService, RpcKind, SocketRpcServer, SocketService};
use tokio_rustls::rustls::ServerConfig;

use crate::behaviour::{Behaviour, Plan};
use crate::messages::{Request, Response};
use crate::program::Encoding;

const BUFFER: usize = 4 << 20;
const BUFFER_STEP: usize = 1 << 20;
const QUEUED_MESSAGES: usize = 256;

type Protobuf = (PooledEncoder<ProstSerializer<Response>>, ProstDecoder<Request>);
type MessagePack = (
    PooledEncoder<MessagePackSerializer<Response>>,
    MessagePackDecoder<Request>,
);

/// A service of every listener and codec.
struct Service<L, C> {
    behaviour: Behaviour,
    kinds: PhantomData<fn() -> (L, C)>,
}

impl<L, C> Service<L, C> {
    fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            kinds: PhantomData,
        }
    }
}

impl<L, C> SocketService for Service<L, C>
where
    L: SocketListener + 'static,
    C: Codec + Decoder<Message = Request> + Encoder<Message = Response> + Default + 'static,
{
    type ConnectionService = Service<(), C>;
    type SocketListener = L;

    fn codec(&mut self) -> C {
        C::default()
    }

    fn new_stream_service(&mut self, _: &L::Stream) -> Service<(), C> {
        Service::new(self.behaviour.clone())
    }
}

impl<C> ConnectionService for Service<(), C>
where
    C: Codec + Decoder<Message = Request> + Encoder<Message = Response> + 'static,
{
    type Codec = C;
    type Request = Request;
    type Response = Response;
    type UnaryFutureType = BoxFuture<'static, Response>;
    type StreamType = BoxStream<'static, Response>;

    fn new_rpc(&mut self, request: Request) -> RpcKind<Self::UnaryFutureType, Self::StreamType> {
        match self.behaviour.answer(request) {
            Plan::Unary(response) => RpcKind::Unary(response),
            Plan::Streaming(responses) => RpcKind::Streaming(responses),
            Plan::Reject => RpcKind::Cancelled,
        }
    }
}

/// Serves until the process is ended.
pub async fn serve(
    address: SocketAddr,
    encoding: Encoding,
    tls: Option<ServerConfig>,
    listening: impl FnOnce(),
) -> Result<(), Box<dyn Error>> {
    let listener = TcpSocketListener::listen(address, 1024, None)?;
    listening();
    match (tls, encoding) {
        (None, Encoding::Protobuf) => run::<_, Protobuf>(listener).await,
        (None, Encoding::MessagePack) => run::<_, MessagePack>(listener).await,
        (Some(tls), Encoding::Protobuf) => run::<_, Protobuf>(TlsSocketListener::wrap(listener, tls)).await,
        (Some(tls), Encoding::MessagePack) => {
            run::<_, MessagePack>(TlsSocketListener::wrap(listener, tls)).await
        }
    }
}

async fn run<L, C>(listener: L) -> Result<(), Box<dyn Error>>
where
    L: SocketListener + 'static,
    L::Stream: Send,
    C: Codec + Decoder<Message = Request> + Encoder<Message = Response> + Default + Send + 'static,
    <C as Encoder>::Serialized: Send,
{
    let service = Service::<L, C>::new(Behaviour::default());
    SocketRpcServer::new(listener, service, BUFFER, BUFFER_STEP, QUEUED_MESSAGES)?.await?;
    Ok(())
}
