//! Runs commands that arrive on standard input with the published client of rmemstore.
//!
//! ```text
//! rmemstore-client HOST:PORT
//! ```
//!
//! A line of input is a JSON array of commands, which run all at once on one connection; a line of output is the
//! array of their results. Keys are in hexadecimal, values in the JSON form that the crate gives them.

use std::process::ExitCode;

use futures::future::join_all;
use rmemstore::types::MemstoreValue;
use rmemstore::{Client, ConnectionConfiguration};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum Command {
    Put {
        #[serde(with = "hex")]
        key: Vec<u8>,
        value: MemstoreValue,
    },
    Get {
        #[serde(with = "hex")]
        key: Vec<u8>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Value(MemstoreValue),
    Miss,
    Done,
    Error(String),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rmemstore-client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [address] = arguments else {
        return Err("usage: rmemstore-client HOST:PORT".into());
    };
    let client = Client::connect(address.parse()?, ConnectionConfiguration::default()).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let commands: Vec<Command> = serde_json::from_str(&line)?;
        let results = join_all(commands.into_iter().map(|command| carry_out(&client, command))).await;
        println!("{}", serde_json::to_string(&results)?);
    }
    Ok(())
}

async fn carry_out(client: &Client, command: Command) -> Outcome {
    let answer = match command {
        Command::Put { key, value } => client.put(key, value).await.map(|()| Outcome::Done),
        Command::Get { key } => client
            .get(key)
            .await
            .map(|found| found.map_or(Outcome::Miss, Outcome::Value)),
    };
    answer.unwrap_or_else(|error| Outcome::Error(error.to_string()))
}
