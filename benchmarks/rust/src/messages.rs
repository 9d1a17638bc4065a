//! The cache's messages, with the field numbers of `proto/protosocket_cache.proto`.

use bytes::Bytes;
use protosocket_rpc::{Message, ProtosocketControlCode};

/// Every message a client sends.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CacheCommand {
    /// Chosen by the client; the answer carries it.
    #[prost(uint64, tag = "2")]
    pub message_id: u64,
    /// What `ProtosocketControlCode` says.
    #[prost(uint32, tag = "3")]
    pub control_code: u32,
    /// The request.
    #[prost(message, optional, tag = "10")]
    pub unary: Option<Unary>,
}

/// One request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Unary {
    /// What is asked for.
    #[prost(oneof = "Command", tags = "2, 3")]
    pub command: Option<Command>,
}

/// What is asked for.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Command {
    /// A read.
    #[prost(message, tag = "2")]
    Get(GetCommand),
    /// A write.
    #[prost(message, tag = "3")]
    Set(SetCommand),
}

/// A read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetCommand {
    /// What to look for.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
}

/// A write.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetCommand {
    /// Where to put it.
    #[prost(bytes = "bytes", tag = "2")]
    pub key: Bytes,
    /// What to put there.
    #[prost(bytes = "bytes", tag = "3")]
    pub value: Bytes,
}

/// Every message a server sends.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CacheResponse {
    /// The id of the command this answers.
    #[prost(uint64, tag = "1")]
    pub message_id: u64,
    /// What `ProtosocketControlCode` says.
    #[prost(uint32, tag = "2")]
    pub control_code: u32,
    /// The answer.
    #[prost(oneof = "Kind", tags = "9, 11, 12")]
    pub kind: Option<Kind>,
}

/// An answer.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// Nothing was found.
    #[prost(message, tag = "9")]
    Error(CommandError),
    /// A value was found.
    #[prost(message, tag = "11")]
    Get(GetResponse),
    /// The value was put there.
    #[prost(message, tag = "12")]
    Set(SetResponse),
}

/// Nothing was found.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandError {
    /// gRPC's number for it.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// The same in words.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// A value was found.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetResponse {
    /// The value.
    #[prost(bytes = "bytes", tag = "1")]
    pub value: Bytes,
}

/// The value was put there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetResponse {}

macro_rules! rpc_message {
    ($name:ident) => {
        impl Message for $name {
            fn message_id(&self) -> u64 {
                self.message_id
            }

            fn control_code(&self) -> ProtosocketControlCode {
                ProtosocketControlCode::from_u8(self.control_code.try_into().unwrap_or(1))
            }

            fn set_message_id(&mut self, message_id: u64) {
                self.message_id = message_id;
            }

            fn cancelled(message_id: u64) -> Self {
                let control_code = ProtosocketControlCode::Cancel.as_u8().into();
                Self {
                    message_id,
                    control_code,
                    ..Default::default()
                }
            }

            fn ended(message_id: u64) -> Self {
                let control_code = ProtosocketControlCode::End.as_u8().into();
                Self {
                    message_id,
                    control_code,
                    ..Default::default()
                }
            }
        }
    };
}

rpc_message!(CacheCommand);
rpc_message!(CacheResponse);
