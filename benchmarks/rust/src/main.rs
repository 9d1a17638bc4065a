//! The published crate `protosocket-rpc` as a peer in the benchmark: `serve`, or `client URL KEYS KLEN VLEN GET%`.

mod client;
mod messages;
mod server;
mod workload;

use std::error::Error;

use tokio::runtime::{Builder, Runtime};

/// One thread on each side, as every system here has.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve"] => runtime()?.block_on(server::serve()),
        ["client", url, keys, key_bytes, value_bytes, get_percent] => {
            let workload = workload::Workload::new(
                keys.parse()?,
                key_bytes.parse()?,
                value_bytes.parse()?,
                get_percent.parse()?,
            );
            client::run(&runtime()?, url, workload)
        }
        _ => Err("say serve, or client URL KEYS KEY_BYTES VALUE_BYTES GET_PERCENT".into()),
    }
}
