//! Calls with the crate's client.

use std::net::SocketAddr;

use protosocket::{Deserializer, Serializer};
use protosocket_messagepack::{ProtosocketMessagePackDeserializer, ProtosocketMessagePackSerializer};
use protosocket_prost::ProstSerializer;
use protosocket_rpc::Error;
use protosocket_rpc::client::{
    Configuration, RpcClient, StreamConnector, StreamingCompletion, TcpStreamConnector,
    UnverifiedTlsStreamConnector,
};
use tokio::task::spawn_local;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::messages::{Request, Response};
use crate::program::Encoding;

type Protobuf = ProstSerializer<Response, Request>;

/// One connection.
#[derive(Clone)]
pub struct Client(RpcClient<Request, Response>);

impl Client {
    /// A call with one response.
    pub async fn unary(&self, request: Request) -> Result<Response, Error> {
        self.0.send_unary(request).await?.await
    }

    /// A call with many.
    pub async fn stream(&self, request: Request) -> Result<StreamingCompletion<Response, Request>, Error> {
        self.0.send_streaming(request).await
    }
}

/// Connects, over TLS to anybody who shows a certificate.
pub async fn connect(address: SocketAddr, encoding: Encoding, tls: bool) -> Result<Client, Error> {
    if tls {
        let name = ServerName::IpAddress(address.ip().into());
        encoded(address, encoding, UnverifiedTlsStreamConnector::new(name)).await
    } else {
        encoded(address, encoding, TcpStreamConnector).await
    }
}

async fn encoded(
    address: SocketAddr,
    encoding: Encoding,
    connector: impl StreamConnector + 'static,
) -> Result<Client, Error> {
    match encoding {
        Encoding::Protobuf => opened::<Protobuf, Protobuf>(address, connector).await,
        Encoding::MessagePack => {
            opened::<ProtosocketMessagePackSerializer<Request>, ProtosocketMessagePackDeserializer<Response>>(
                address, connector,
            )
            .await
        }
    }
}

async fn opened<S, D>(address: SocketAddr, connector: impl StreamConnector + 'static) -> Result<Client, Error>
where
    S: Serializer<Message = Request> + Default + 'static,
    D: Deserializer<Message = Response> + Default + 'static,
{
    let configuration = Configuration::new(connector);
    let (client, connection) = protosocket_rpc::client::connect::<S, D, _>(address, &configuration).await?;
    spawn_local(connection);
    Ok(Client(client))
}
