//! Runs commands that arrive on standard input with the protosocket client of Momento's Rust SDK.
//!
//! ```text
//! momento-client tcp|tls HOST:PORT TOKEN TIMEOUT_MILLISECONDS CONNECTIONS
//! ```
//!
//! `TOKEN` is what Momento hands out: a key of its second version (a JWT), or one of its first (base64 of JSON).
//! `tls` does not check the server's certificate. A line of input is a JSON array of commands, which run all at
//! once; a line of output is the array of their results. Keys and values are in hexadecimal.

mod command;

use std::process::ExitCode;
use std::time::Duration;

use command::Command;
use futures::future::join_all;
use momento::protosocket::cache::Configuration;
use momento::{CredentialProvider, MomentoResult, ProtosocketCacheClient};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("momento-client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [security, address, token, timeout, connections] = arguments else {
        return Err("usage: momento-client tcp|tls HOST:PORT TOKEN TIMEOUT_MILLISECONDS CONNECTIONS".into());
    };
    // The SDK brings two providers of cryptography along and chooses none, with which its TLS panics.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return Err("somebody else has chosen a provider of cryptography".into());
    }
    let credentials = match security.as_str() {
        "tcp" => credentials(token)?.insecure_endpoint_override(address),
        "tls" => credentials(token)?.unverified_tls_endpoint_override(address),
        other => return Err(format!("{other} is neither tcp nor tls").into()),
    };
    let configuration = Configuration::builder()
        .timeout(Duration::from_millis(timeout.parse()?))
        .connection_count(connections.parse()?)
        .az_id(None)
        .build();
    let client = ProtosocketCacheClient::builder()
        .default_ttl(Duration::from_secs(60))
        .configuration(configuration)
        .credential_provider(credentials)
        .runtime(tokio::runtime::Handle::current())
        .build()
        .await?;

    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let commands: Vec<Command> = serde_json::from_str(&line)?;
        let results = join_all(commands.into_iter().map(|command| command.run(&client))).await;
        println!("{}", serde_json::to_string(&results)?);
    }
    Ok(())
}

/// The credentials in a token; its endpoint counts for nothing, since it is overridden.
fn credentials(token: &str) -> MomentoResult<CredentialProvider> {
    if token.contains('.') {
        CredentialProvider::from_api_key_v2(token, "localhost")
    } else {
        CredentialProvider::from_disposable_token(token)
    }
}
