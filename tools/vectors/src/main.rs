//! Writes the golden vectors of `tests/vectors` with the published crates, or checks that they are current.
//!
//! `cargo run --manifest-path tools/vectors/Cargo.toml` rewrites them;
//! with `-- --check` it changes nothing and fails where a file differs from what the crates say now.

mod decoding;
mod framing;
mod messagepack;
mod messages;
mod momento;
mod protobuf;
mod rmemstore;
mod vector;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let files = [
        framing::vectors(),
        protobuf::vectors(),
        messagepack::vectors(),
        momento::vectors(),
        rmemstore::vectors(),
        decoding::vectors(),
    ];
    let mut stale = false;
    for file in files {
        let path = directory.join(format!("{}.json", file.name));
        let text = file.render();
        if !check {
            std::fs::write(&path, text).expect("tests/vectors is writable");
        } else if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            eprintln!("{} is not what the crates say now", path.display());
            stale = true;
        }
    }
    if stale {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
