//! The published `protosocket-rpc`, line 2, as a peer of the tests: a server, a client, and its decoders.

#[path = "../../shared/behaviour.rs"]
mod behaviour;
mod client;
mod decode;
#[path = "../../shared/driver.rs"]
mod driver;
#[path = "../../shared/feed.rs"]
mod feed;
#[path = "../../shared/messages.rs"]
mod messages;
#[path = "../../shared/program.rs"]
mod program;
mod server;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    program::main()
}
