//! Vectors of Momento's public cache protocol, from the crate of its generated messages.

use momento_protos::protosocket::cache::{
    AuthenticateCommand, AuthenticateResponse, CacheCommand, CacheResponse, DeleteCommand, DeleteResponse,
    GetCommand, GetResponse, SetCommand, SetResponse, Unary, cache_command, cache_response, unary,
};
use momento_protos::protosocket::common::{CommandError, Status};
use protosocket_rpc::Message;
use serde_json::{Value, json};

use crate::protobuf::frame;
use crate::vector::{File, blob, message};

const COMMAND: &str = "momento.CacheCommand";
const RESPONSE: &str = "momento.CacheResponse";

/// The file of Momento cache messages.
pub fn vectors() -> File {
    File {
        name: "momento",
        about: "Momento's cache commands and responses, every kind.",
        vectors: commands().into_iter().chain(responses()).collect(),
    }
}

fn commands() -> Vec<Value> {
    let token = "eyJhbGciOiJub25lIn0.e30.".to_string();
    let namespace = "cache".to_string();
    let (key, value) = (b"key-1".to_vec(), vec![0x76; 100]);
    let json_key = json!({"namespace": namespace, "key": blob(&key)});
    let json_set = |value: &[u8], ttl: u64| json!({"set": {"namespace": namespace, "key": blob(&key), "value": blob(value), "ttl_milliseconds": ttl}});
    let set = |value: &[u8], ttl_milliseconds| {
        unary::Command::Set(SetCommand {
            namespace: namespace.clone(),
            key: key.clone(),
            value: value.to_vec(),
            ttl_milliseconds,
        })
    };
    let kinds = [
        (
            "authenticate",
            json!({"auth": {"token": token}}),
            unary::Command::Auth(AuthenticateCommand { token: token.clone() }),
        ),
        (
            "get",
            json!({"get": json_key}),
            unary::Command::Get(GetCommand {
                namespace: namespace.clone(),
                key: key.clone(),
            }),
        ),
        ("set", json_set(&value, 60_000), set(&value, 60_000)),
        (
            "set an empty value without a time to live",
            json_set(b"", 0),
            set(b"", 0),
        ),
        (
            "set 20 kB",
            json_set(&[7; 20_000], u64::MAX),
            set(&[7; 20_000], u64::MAX),
        ),
        (
            "delete",
            json!({"delete": json_key}),
            unary::Command::Delete(DeleteCommand {
                namespace: namespace.clone(),
                key: key.clone(),
            }),
        ),
        (
            "get with empty fields",
            json!({"get": {"namespace": "", "key": blob(b"")}}),
            unary::Command::Get(GetCommand::default()),
        ),
    ];
    let mut vectors = Vec::new();
    for (index, (name, fields, command)) in (1..).zip(kinds) {
        let rpc_kind = Some(cache_command::RpcKind::Unary(Unary {
            command: Some(command),
        }));
        let value = CacheCommand {
            message_id: index * 100,
            control_code: 0,
            rpc_kind,
        };
        let fields = json!({"message_id": index * 100, "unary": fields});
        vectors.push(command_vector(name, &value, fields));
    }
    let id = u64::MAX;
    let fields = json!({"message_id": id, "control_code": 1});
    vectors.push(command_vector("cancelled", &CacheCommand::cancelled(id), fields));
    let fields = json!({"message_id": id, "control_code": 2});
    vectors.push(command_vector("ended", &CacheCommand::ended(id), fields));
    vectors
}

fn responses() -> Vec<Value> {
    let error = |code: Status, message: &str| {
        let fields = json!({"error": {"code": code as i32, "message": message}});
        let error = CommandError {
            code: code as i32,
            message: message.into(),
        };
        (fields, cache_response::Kind::Error(error))
    };
    let get = |value: Vec<u8>| {
        let fields = json!({"get": {"value": blob(&value)}});
        (fields, cache_response::Kind::Get(GetResponse { value }))
    };
    let kinds = [
        ("a miss", error(Status::NotFound, "Key not found")),
        ("an unknown cache", error(Status::NotFound, "Cache not found")),
        ("unauthenticated", error(Status::Unauthenticated, "Invalid token")),
        ("unavailable", error(Status::Unavailable, "")),
        (
            "authenticated",
            (
                json!({"auth": {}}),
                cache_response::Kind::Auth(AuthenticateResponse {}),
            ),
        ),
        ("got", get(b"value".to_vec())),
        ("got an empty value", get(Vec::new())),
        ("got 20 kB", get(vec![7; 20_000])),
        (
            "stored",
            (json!({"set": {}}), cache_response::Kind::Set(SetResponse {})),
        ),
        (
            "deleted",
            (
                json!({"delete": {}}),
                cache_response::Kind::Delete(DeleteResponse {}),
            ),
        ),
    ];
    let mut vectors = Vec::new();
    for (index, (name, (fields, kind))) in (1..).zip(kinds) {
        let value = CacheResponse {
            message_id: index * 100,
            control_code: 0,
            kind: Some(kind),
        };
        let mut fields = fields;
        fields["message_id"] = json!(index * 100);
        vectors.push(message(
            name,
            "protobuf",
            RESPONSE,
            &value,
            fields,
            &frame(value.clone()),
        ));
    }
    for (name, value, code) in [
        ("rejected", CacheResponse::cancelled(9), 1),
        ("finished", CacheResponse::ended(9), 2),
    ] {
        let fields = json!({"message_id": 9, "control_code": code});
        vectors.push(message(
            name,
            "protobuf",
            RESPONSE,
            &value,
            fields,
            &frame(value.clone()),
        ));
    }
    vectors
}

fn command_vector(name: &str, value: &CacheCommand, fields: Value) -> Value {
    message(name, "protobuf", COMMAND, value, fields, &frame(value.clone()))
}
