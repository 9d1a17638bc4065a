//! A client steered by JSON lines on standard input; what came of each call is a JSON line on standard output.

use std::cell::Cell;
use std::collections::HashMap;
use std::error::Error;
use std::rc::Rc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::task::{JoinHandle, spawn_local};

use crate::behaviour::pattern;
use crate::client::Client;
use crate::messages::{Request, Response};

/// One line of input.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Order {
    /// A call with one response: `ok` or `error`.
    Unary { tag: u64, call: Call },
    /// A call with many, dropped after `take` items: `items`, whether they came in order, and how it ended.
    Stream { tag: u64, call: Call, take: Option<u64> },
    /// As many calls at once: how many were answered rightly, and the errors of the others.
    Many { tag: u64, call: Call, calls: u64 },
    /// A call is dropped.
    Drop { tag: u64 },
}

/// What is asked for, with a body of `size` bytes.
#[derive(Clone, Deserialize)]
struct Call {
    command: String,
    #[serde(default)]
    number: u64,
    #[serde(default)]
    size: u64,
}

impl Call {
    fn request(&self, last_id: &Cell<u64>) -> Request {
        last_id.set(last_id.get() + 1);
        Request {
            id: last_id.get(),
            command: self.command.clone(),
            number: self.number,
            body: pattern(self.size),
            ..Default::default()
        }
    }
}

/// Carries out orders until there are no more.
pub async fn run(client: Client) -> Result<(), Box<dyn Error>> {
    let last_id = Rc::new(Cell::new(0));
    let mut running: HashMap<u64, JoinHandle<()>> = HashMap::new();
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (client, last_id) = (client.clone(), last_id.clone());
        match serde_json::from_str(&line)? {
            Order::Unary { tag, call } => {
                let task = async move { say(tag, unary(&client, call.request(&last_id)).await) };
                running.insert(tag, spawn_local(task));
            }
            Order::Stream { tag, call, take } => {
                let task = async move { say(tag, stream(&client, call.request(&last_id), take).await) };
                running.insert(tag, spawn_local(task));
            }
            Order::Many { tag, call, calls } => {
                let task = async move { say(tag, many(&client, &call, calls, &last_id).await) };
                running.insert(tag, spawn_local(task));
            }
            Order::Drop { tag } => {
                if let Some(task) = running.remove(&tag) {
                    task.abort();
                }
            }
        }
    }
    Ok(())
}

/// Prints one line of output.
pub fn say(tag: u64, mut result: Value) {
    result["tag"] = tag.into();
    println!("{result}");
}

async fn unary(client: &Client, request: Request) -> Value {
    let body = request.body.clone();
    match client.unary(request).await {
        Ok(Response {
            number, body: got, ..
        }) => {
            json!({"ok": {"number": number, "size": got.len(), "same": got == body, "pattern": got == pattern(got.len() as u64)}})
        }
        Err(error) => json!({"error": error.to_string()}),
    }
}

async fn many(client: &Client, call: &Call, calls: u64, last_id: &Cell<u64>) -> Value {
    let mut running: FuturesUnordered<_> = (0..calls)
        .map(|number| {
            let mut request = call.request(last_id);
            request.number = number;
            async move {
                let body = request.body.clone();
                let response = client.unary(request).await?;
                Ok::<bool, protosocket_rpc::Error>(response.number == number && response.body == body)
            }
        })
        .collect();
    let (mut right, mut wrong, mut errors) = (0, 0, HashMap::<String, u64>::new());
    while let Some(outcome) = running.next().await {
        match outcome {
            Ok(true) => right += 1,
            Ok(false) => wrong += 1,
            Err(error) => *errors.entry(error.to_string()).or_default() += 1,
        }
    }
    json!({"right": right, "wrong": wrong, "errors": errors})
}

async fn stream(client: &Client, request: Request, take: Option<u64>) -> Value {
    let body = request.body.clone();
    let mut responses = match client.stream(request).await {
        Ok(responses) => responses,
        Err(error) => return json!({"error": error.to_string()}),
    };
    let (mut items, mut ordered, mut end) = (0, true, None);
    while take.is_none_or(|take| items < take) {
        match responses.next().await {
            Some(Ok(item)) => {
                ordered &= item.number == items && item.body == body;
                items += 1;
            }
            Some(Err(error)) => {
                end = Some(error.to_string());
                break;
            }
            None => break,
        }
    }
    json!({"items": items, "ordered": ordered, "end": end})
}
