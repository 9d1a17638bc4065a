//! One command and what came of it, as they are written on standard input and output.

use std::time::Duration;

use momento::cache::{GetResponse, SetRequest};
use momento::{ErrorSource, MomentoError, ProtosocketCacheClient, ProtosocketCacheError};
use serde::{Deserialize, Serialize};

/// A command; the time to live is in milliseconds, and the client's default of a minute without it.
#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    Get {
        cache: String,
        #[serde(with = "hex")]
        key: Vec<u8>,
    },
    Set {
        cache: String,
        #[serde(with = "hex")]
        key: Vec<u8>,
        #[serde(with = "hex")]
        value: Vec<u8>,
        ttl: Option<u64>,
    },
    Delete {
        cache: String,
        #[serde(with = "hex")]
        key: Vec<u8>,
    },
}

/// What came of a command.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Hit(#[serde(with = "hex")] Vec<u8>),
    Miss,
    Done,
    Error {
        /// The SDK's own name of the error.
        code: String,
        /// What the server answered, if it is that: gRPC's status number.
        status: Option<i32>,
        text: String,
    },
}

impl Command {
    /// Carry the command out.
    pub async fn run(self, client: &ProtosocketCacheClient) -> Outcome {
        let done = match self {
            Command::Get { cache, key } => return got(client.get(cache, key).await),
            Command::Set {
                cache,
                key,
                value,
                ttl,
            } => {
                let request = SetRequest::new(cache, key, value).ttl(ttl.map(Duration::from_millis));
                client.send_request(request).await.map(|_| ())
            }
            Command::Delete { cache, key } => client.delete(cache, key).await.map(|_| ()),
        };
        done.map_or_else(failed, |()| Outcome::Done)
    }
}

fn got(response: Result<GetResponse, MomentoError>) -> Outcome {
    match response {
        Ok(GetResponse::Hit { value }) => Outcome::Hit(value.into()),
        Ok(GetResponse::Miss) => Outcome::Miss,
        Err(error) => failed(error),
    }
}

fn failed(error: MomentoError) -> Outcome {
    let status = match &error.inner_error {
        Some(ErrorSource::Protosocket(ProtosocketCacheError::CommandError { cause })) => Some(cause.code),
        _ => None,
    };
    Outcome::Error {
        code: format!("{:?}", error.error_code),
        status,
        text: error.message,
    }
}
