//! The server: one map of values, answered from in place without spawning.

use std::collections::HashMap;
use std::error::Error;
use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream::Pending;
use protosocket::{PooledEncoder, StreamWithAddress, TcpSocketListener};
use protosocket_prost::{ProstDecoder, ProstSerializer};
use protosocket_rpc::server::{ConnectionService, RpcKind, SocketRpcServer, SocketService};
use tokio::net::TcpStream;

use crate::messages::{CacheCommand, CacheResponse, Command, CommandError, GetResponse, Kind, SetResponse};

type Store = Arc<Mutex<HashMap<Bytes, Bytes>>>;

const NOT_FOUND: i32 = 5;
const BUFFER: usize = 4 << 20;
const BUFFER_STEP: usize = 1 << 20;
const QUEUED_MESSAGES: usize = 256;

struct Cache {
    store: Store,
}

impl SocketService for Cache {
    type ConnectionService = Connection;
    type SocketListener = TcpSocketListener;

    fn codec(&mut self) -> <Connection as ConnectionService>::Codec {
        Default::default()
    }

    fn new_stream_service(&mut self, _: &StreamWithAddress<TcpStream>) -> Connection {
        Connection {
            store: self.store.clone(),
        }
    }
}

struct Connection {
    store: Store,
}

impl ConnectionService for Connection {
    type Codec = (
        PooledEncoder<ProstSerializer<CacheResponse>>,
        ProstDecoder<CacheCommand>,
    );
    type Request = CacheCommand;
    type Response = CacheResponse;
    type UnaryFutureType = Ready<CacheResponse>;
    type StreamType = Pending<CacheResponse>;

    fn new_rpc(&mut self, request: CacheCommand) -> RpcKind<Self::UnaryFutureType, Self::StreamType> {
        let Some(command) = request.unary.and_then(|unary| unary.command) else {
            return RpcKind::Cancelled;
        };
        let Ok(mut store) = self.store.lock() else {
            return RpcKind::Cancelled;
        };
        let kind = match command {
            Command::Get(get) => match store.get(&get.key) {
                Some(value) => Kind::Get(GetResponse { value: value.clone() }),
                None => Kind::Error(CommandError {
                    code: NOT_FOUND,
                    message: "Key not found".into(),
                }),
            },
            Command::Set(set) => {
                store.insert(set.key, set.value);
                Kind::Set(SetResponse {})
            }
        };
        RpcKind::Unary(ready(CacheResponse {
            kind: Some(kind),
            ..Default::default()
        }))
    }
}

/// Listens on a free port, says which, and serves until the process is ended.
#[expect(
    clippy::disallowed_types,
    reason = "a program of its own, not the package's core"
)]
pub async fn serve() -> Result<(), Box<dyn Error>> {
    // The crate's listener cannot tell the port it was given, so one is chosen first.
    let address: SocketAddr = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let listener = TcpSocketListener::listen(address, 1024, None)?;
    let cache = Cache {
        store: Store::default(),
    };
    let server = SocketRpcServer::new(listener, cache, BUFFER, BUFFER_STEP, QUEUED_MESSAGES)?;
    println!("listening on tcp://{address}");
    server.await?;
    Ok(())
}
