//! Vectors of rmemstore's messages, through the 0.7 series of the crates that rmemstore is published against.

use std::collections::HashMap;

use protosocket_07::Serializer as _;
use protosocket_prost_07::ProstSerializer;
use protosocket_rpc_07::{Message, ProtosocketControlCode};
use rmemstore_messages::{Get, Map, Put, Response, Rpc, Value, response, rpc, value};
use serde_json::{Value as Json, json};

use crate::vector::{File, blob, bytes};

/// The file of rmemstore messages.
pub fn vectors() -> File {
    let blob_value = Value {
        kind: Some(value::Kind::Blob(b"blob"[..].into())),
    };
    let text = Value {
        kind: Some(value::Kind::String("text".into())),
    };
    // One entry: a map's order on the wire is not defined.
    let map = HashMap::from([("key".to_string(), text.clone())]);
    let map = Value {
        kind: Some(value::Kind::Map(Map { map })),
    };
    let values = [
        ("blob", blob_value, json!({"blob": blob(b"blob")})),
        ("string", text, json!({"string": "text"})),
        (
            "map",
            map,
            json!({"map": {"map": [{"key": "key", "value": {"string": "text"}}]}}),
        ),
    ];
    let mut vectors = Vec::new();
    for (name, value, fields) in values {
        let put = Put {
            key: b"key"[..].into(),
            value: Some(value.clone()),
        };
        let put = Rpc {
            id: 128,
            code: 0,
            command: Some(rpc::Command::Put(put)),
        };
        let put_fields = json!({"id": 128, "put": {"key": blob(b"key"), "value": fields}});
        vectors.push(vector(&format!("put a {name}"), "rmemstore.Rpc", put, put_fields));
        let answer = Response {
            id: 1 << 32,
            code: 0,
            kind: Some(response::Kind::Value(value)),
        };
        let answer_fields = json!({"id": 1u64 << 32, "value": fields});
        vectors.push(vector(
            &format!("a {name}"),
            "rmemstore.Response",
            answer,
            answer_fields,
        ));
    }
    let get = Get {
        key: b"key"[..].into(),
    };
    let get = Rpc {
        id: 1,
        code: 0,
        command: Some(rpc::Command::Get(get)),
    };
    let fields = json!({"id": 1, "get": {"key": blob(b"key")}});
    vectors.push(vector("get", "rmemstore.Rpc", get, fields));
    for ok in [true, false] {
        let answer = Response {
            id: 2,
            code: 0,
            kind: Some(response::Kind::Ok(ok)),
        };
        let fields = json!({"id": 2, "ok": ok});
        vectors.push(vector(
            &format!("ok is {ok}"),
            "rmemstore.Response",
            answer,
            fields,
        ));
    }
    let miss = Response {
        id: 3,
        code: 0,
        kind: None,
    };
    vectors.push(vector("a miss", "rmemstore.Response", miss, json!({"id": 3})));
    for id in [0, u64::MAX] {
        let (cancel, end) = (json!({"id": id, "code": 1}), json!({"id": id, "code": 2}));
        let name = format!("cancelled({id})");
        vectors.push(vector(&name, "rmemstore.Rpc", Rpc::cancelled(id), cancel.clone()));
        vectors.push(vector(
            &name,
            "rmemstore.Response",
            Response::cancelled(id),
            cancel,
        ));
        let name = format!("ended({id})");
        vectors.push(vector(&name, "rmemstore.Rpc", Rpc::ended(id), end.clone()));
        vectors.push(vector(&name, "rmemstore.Response", Response::ended(id), end));
    }
    File {
        name: "rmemstore",
        about: "rmemstore's requests and responses, every kind.",
        vectors,
    }
}

fn vector<M>(name: &str, kind: &str, value: M, fields: Json) -> Json
where
    M: Message + prost_013::Message + Default,
{
    let (id, control) = (value.message_id(), control(value.control_code()));
    let mut framed = Vec::new();
    ProstSerializer::<M, M>::default().encode(value, &mut framed);
    json!({
        "name": name,
        "encoding": "protobuf",
        "message": kind,
        "fields": fields,
        "id": id,
        "control": control,
        "framed": bytes(&framed),
    })
}

fn control(code: ProtosocketControlCode) -> &'static str {
    match code {
        ProtosocketControlCode::Normal => "Normal",
        ProtosocketControlCode::Cancel => "Cancel",
        ProtosocketControlCode::End => "End",
    }
}
