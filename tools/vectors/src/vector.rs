//! A golden vector, a file of them, and how both are written as JSON.

use protosocket_rpc::ProtosocketControlCode;
use serde_json::{Value, json};

/// Runs of one byte at least this long are written as `{"repeat": hex, "times": n}`.
const RUN: usize = 48;

/// One file of vectors, written as `tests/vectors/<name>.json`.
pub struct File {
    /// The file's name without its suffix.
    pub name: &'static str,
    /// One sentence for the reader of the file.
    pub about: &'static str,
    /// The vectors, one JSON object each.
    pub vectors: Vec<Value>,
}

impl File {
    /// The file's text: a header, then one vector a line, so that a change is one line of a diff.
    pub fn render(&self) -> String {
        let lines: Vec<String> = self
            .vectors
            .iter()
            .map(|vector| format!("    {vector}"))
            .collect();
        format!(
            "{{\n  \"about\": {},\n  \"crates\": {},\n  \"vectors\": [\n{}\n  ]\n}}\n",
            json!(self.about),
            crates(),
            lines.join(",\n")
        )
    }
}

/// The versions of the crates that made the vectors, as the lock file pins them.
fn crates() -> Value {
    let wanted = [
        "momento-protos",
        "prost",
        "protosocket",
        "rmemstore-messages",
        "rmp",
    ];
    let lock = include_str!("../Cargo.lock");
    let names = lock.lines().filter_map(|line| quoted(line, "name = "));
    let versions = lock.lines().filter(|line| !line.starts_with("version = 4"));
    let versions = versions.filter_map(|line| quoted(line, "version = "));
    let pinned = names.zip(versions).filter(|(name, _)| {
        *name != env!("CARGO_PKG_NAME")
            && !name.ends_with("-derive")
            && !name.ends_with("-types")
            && !name.ends_with("-build")
            && wanted.iter().any(|start| name.starts_with(start))
    });
    pinned
        .map(|(name, version)| json!(format!("{name} {version}")))
        .collect()
}

fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

/// Bytes as JSON: hex, or a list of hex and `{"repeat": hex, "times": n}` where a byte repeats for long.
pub fn bytes(value: &[u8]) -> Value {
    let mut parts: Vec<Value> = Vec::new();
    let mut plain = String::new();
    for run in value.chunk_by(|left, right| left == right) {
        if run.len() < RUN {
            plain.extend(run.iter().map(|byte| format!("{byte:02x}")));
        } else {
            if !plain.is_empty() {
                parts.push(json!(std::mem::take(&mut plain)));
            }
            parts.push(json!({"repeat": format!("{:02x}", run[0]), "times": run.len()}));
        }
    }
    if parts.is_empty() {
        return json!(plain);
    }
    if !plain.is_empty() {
        parts.push(json!(plain));
    }
    json!(parts)
}

/// A control code by its name.
pub fn control(code: ProtosocketControlCode) -> &'static str {
    match code {
        ProtosocketControlCode::Normal => "Normal",
        ProtosocketControlCode::Cancel => "Cancel",
        ProtosocketControlCode::End => "End",
    }
}

/// A vector of one message: what it says, how the crate's `Message` reads it, and its framed bytes.
pub fn message<M: protosocket_rpc::Message>(
    name: &str,
    encoding: &str,
    kind: &str,
    value: &M,
    fields: Value,
    framed: &[u8],
) -> Value {
    json!({
        "name": name,
        "encoding": encoding,
        "message": kind,
        "fields": fields,
        "id": value.message_id(),
        "control": control(value.control_code()),
        "framed": bytes(framed),
    })
}

/// A bytes field as JSON.
pub fn blob(value: &[u8]) -> Value {
    json!({"bytes": bytes(value)})
}
