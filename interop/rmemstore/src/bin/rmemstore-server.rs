//! A server of rmemstore's protocol on a free port, put together from what rmemstore publishes.
//!
//! rmemstore's own server program is not on crates.io. Its parts are: the messages and where they carry the id
//! (`rmemstore-messages`), the cache (`k-cache`) and the RPC server it runs on (`protosocket-rpc` 0.7). This
//! program adds what its commands mean, and no more.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::future::{Ready, ready};
use futures::stream::Empty;
use k_cache::SegmentedCache;
use prost::bytes::Bytes;
use protosocket_prost::ProstSerializer;
use protosocket_rpc::server::{ConnectionService, RpcKind, SocketRpcServer, SocketService};
use protosocket_rpc::{Message, ProtosocketControlCode};
use rmemstore_messages::{Response, Rpc, Value, response, rpc, value};
use tokio::net::TcpListener;

/// Entries, which k-cache spreads over its segments.
const CAPACITY: usize = 1 << 16;
const SEGMENTS: usize = 8;

type Store = Arc<SegmentedCache<Bytes, Value>>;
type Serializer = ProstSerializer<Rpc, Response>;

struct Service(Store);

impl SocketService for Service {
    type RequestDeserializer = Serializer;
    type ResponseSerializer = Serializer;
    type ConnectionService = Connection;

    fn deserializer(&self) -> Serializer {
        Serializer::default()
    }

    fn serializer(&self) -> Serializer {
        Serializer::default()
    }

    fn new_connection_service(&self, _address: SocketAddr) -> Connection {
        Connection(self.0.clone())
    }
}

struct Connection(Store);

impl ConnectionService for Connection {
    type Request = Rpc;
    type Response = Response;
    type UnaryFutureType = Ready<Response>;
    type StreamType = Empty<Response>;

    fn new_rpc(&mut self, request: Rpc) -> RpcKind<Self::UnaryFutureType, Self::StreamType> {
        let kind = match request.command {
            Some(rpc::Command::Put(put)) => put.value.filter(is_whole).map(|value| {
                self.0.put(put.key, value);
                response::Kind::Ok(true)
            }),
            Some(rpc::Command::Get(get)) => self.0.get(&get.key).map(response::Kind::Value),
            None => return RpcKind::Unary(ready(Response::cancelled(request.id))),
        };
        RpcKind::Unary(ready(Response {
            id: request.id,
            code: ProtosocketControlCode::Normal.as_u8() as u32,
            kind,
        }))
    }
}

/// Whether a value and all values in it are of some kind.
fn is_whole(value: &Value) -> bool {
    match &value.kind {
        None => false,
        Some(value::Kind::Map(map)) => map.map.values().all(is_whole),
        Some(_) => true,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let store = Store::new(SegmentedCache::new(SEGMENTS, CAPACITY));
    let (address, server) = bind(&store).await?;
    println!("listening on tcp://{address}");
    server.await
}

/// A server on a port that was free: the crate's server does not say which one it got if asked for any.
async fn bind(store: &Store) -> std::io::Result<(SocketAddr, SocketRpcServer<Service>)> {
    loop {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
        // Somebody else may have taken it in between.
        if let Ok(server) = SocketRpcServer::new(address, Service(store.clone())).await {
            return Ok((address, server));
        }
    }
}
