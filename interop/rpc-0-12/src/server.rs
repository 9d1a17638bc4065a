//! The crate's server around the behaviour that all peers share.

use std::error::Error;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use protosocket::{Deserializer, Serializer};
use protosocket_messagepack::{ProtosocketMessagePackDeserializer, ProtosocketMessagePackSerializer};
use protosocket_prost::ProstSerializer;
use protosocket_rpc::server::{ConnectionService, RpcKind, SocketRpcServer, SocketService};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::behaviour::{Behaviour, Plan};
use crate::messages::{Request, Response};
use crate::program::Encoding;

const BUFFER: usize = 4 << 20;
const BUFFER_STEP: usize = 1 << 20;
const QUEUED_MESSAGES: usize = 256;
const BACKLOG: u32 = 1024;

type Protobuf = ProstSerializer<Request, Response>;
type MessagePackIn = ProtosocketMessagePackDeserializer<Request>;
type MessagePackOut = ProtosocketMessagePackSerializer<Response>;

/// A connection over TCP or TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A service of every encoding.
struct Service<D, S> {
    behaviour: Behaviour,
    tls: Option<TlsAcceptor>,
    kinds: PhantomData<fn() -> (D, S)>,
}

impl<D, S> SocketService for Service<D, S>
where
    D: Deserializer<Message = Request> + Default + 'static,
    S: Serializer<Message = Response> + Default + 'static,
{
    type RequestDeserializer = D;
    type ResponseSerializer = S;
    type ConnectionService = Connection;
    type Stream = Box<dyn Stream>;

    fn deserializer(&self) -> D {
        D::default()
    }

    fn serializer(&self) -> S {
        S::default()
    }

    fn new_connection_service(&self, _: SocketAddr) -> Connection {
        Connection(self.behaviour.clone())
    }

    fn accept_stream(
        &self,
        stream: TcpStream,
    ) -> impl Future<Output = io::Result<Box<dyn Stream>>> + Send + 'static {
        let tls = self.tls.clone();
        async move {
            Ok(match tls {
                None => Box::new(stream) as Box<dyn Stream>,
                Some(tls) => Box::new(tls.accept(stream).await?),
            })
        }
    }
}

struct Connection(Behaviour);

impl ConnectionService for Connection {
    type Request = Request;
    type Response = Response;
    type UnaryFutureType = BoxFuture<'static, Response>;
    type StreamType = BoxStream<'static, Response>;

    fn new_rpc(&mut self, request: Request) -> RpcKind<Self::UnaryFutureType, Self::StreamType> {
        match self.0.answer(request) {
            Plan::Unary(response) => RpcKind::Unary(response),
            Plan::Streaming(responses) => RpcKind::Streaming(responses),
            Plan::Reject => RpcKind::Unknown,
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
    let tls = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
    match encoding {
        Encoding::Protobuf => run::<Protobuf, Protobuf>(address, tls, listening).await,
        Encoding::MessagePack => run::<MessagePackIn, MessagePackOut>(address, tls, listening).await,
    }
}

async fn run<D, S>(
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    listening: impl FnOnce(),
) -> Result<(), Box<dyn Error>>
where
    D: Deserializer<Message = Request> + Default + 'static,
    S: Serializer<Message = Response> + Default + 'static,
{
    let service = Service::<D, S> {
        behaviour: Behaviour::default(),
        tls,
        kinds: PhantomData,
    };
    let server = SocketRpcServer::new(
        address,
        service,
        BUFFER,
        BUFFER_STEP,
        QUEUED_MESSAGES,
        BACKLOG,
        None,
    )
    .await?;
    listening();
    server.await?;
    Ok(())
}
