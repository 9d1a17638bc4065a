"""protosocket: message-oriented TCP streams and RPC, wire-compatible with the Rust crate."""
