//! The messages of the peers: the same fields in protobuf and, in this order, in MessagePack.

use protosocket_rpc::{Message, ProtosocketControlCode};
use serde::{Deserialize, Serialize};

/// What a client asks for.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The call.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// What `ProtosocketControlCode` says.
    #[prost(uint64, tag = "2")]
    pub code: u64,
    /// What to do; `behaviour.rs` lists it.
    #[prost(string, tag = "3")]
    pub command: String,
    /// How many, how large, or which, as the command says.
    #[prost(uint64, tag = "4")]
    pub number: u64,
    /// Anything.
    #[prost(bytes = "vec", tag = "5")]
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// What a server answers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    /// The call.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// What `ProtosocketControlCode` says.
    #[prost(uint64, tag = "2")]
    pub code: u64,
    /// The request's number, or the place of an item in its stream.
    #[prost(uint64, tag = "3")]
    pub number: u64,
    /// The request's body, or as many bytes as it asked for.
    #[prost(bytes = "vec", tag = "4")]
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

macro_rules! rpc_message {
    ($name:ident) => {
        impl Message for $name {
            fn message_id(&self) -> u64 {
                self.id
            }

            fn control_code(&self) -> ProtosocketControlCode {
                // 255 stands for every code that is no byte: unknown, as it is.
                ProtosocketControlCode::from_u8(u8::try_from(self.code).unwrap_or(u8::MAX))
            }

            fn set_message_id(&mut self, message_id: u64) {
                self.id = message_id;
            }

            fn cancelled(message_id: u64) -> Self {
                Self {
                    id: message_id,
                    code: ProtosocketControlCode::Cancel.as_u8().into(),
                    ..Default::default()
                }
            }

            fn ended(message_id: u64) -> Self {
                Self {
                    id: message_id,
                    code: ProtosocketControlCode::End.as_u8().into(),
                    ..Default::default()
                }
            }
        }
    };
}

rpc_message!(Request);
rpc_message!(Response);
