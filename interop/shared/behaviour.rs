//! What a server does with a request, whatever the version of the crate that it serves with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{Notify, watch};

use crate::messages::{Request, Response};

/// How a request is answered.
pub enum Plan {
    /// By one response.
    Unary(BoxFuture<'static, Response>),
    /// By many.
    Streaming(BoxStream<'static, Response>),
    /// Not at all: it is rejected.
    Reject,
}

/// What all connections of a server share.
#[derive(Clone)]
pub struct Behaviour {
    held: Arc<Mutex<HashMap<u64, Arc<Notify>>>>,
    cancelled: Arc<watch::Sender<u64>>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            held: Arc::default(),
            cancelled: Arc::new(watch::channel(0).0),
        }
    }
}

impl Behaviour {
    /// Begins to answer a request. The commands: `echo` gives the body back, `bytes` as many as the number says,
    /// `hold` waits for a `release` of the same number, `count` streams as many items as the number says, `hang` the
    /// same without an end, `endless` streams for ever, `cancelled` answers once that many calls were cancelled.
    pub fn answer(&self, request: Request) -> Plan {
        let Request {
            id,
            command,
            number,
            body,
            ..
        } = request;
        let item = move |number: u64, body: Vec<u8>| Response {
            id,
            number,
            body,
            ..Default::default()
        };
        let running = Running {
            cancelled: self.cancelled.clone(),
            finished: false,
        };
        match command.as_str() {
            "echo" => Plan::Unary(running.unary(async move { item(number, body) })),
            "bytes" => Plan::Unary(running.unary(async move { item(number, pattern(number)) })),
            "hold" => {
                let released = self.notify(number);
                Plan::Unary(running.unary(async move {
                    released.notified().await;
                    item(number, body)
                }))
            }
            "release" => {
                self.notify(number).notify_one();
                Plan::Unary(running.unary(async move { item(number, body) }))
            }
            "cancelled" => {
                let mut cancelled = self.cancelled.subscribe();
                Plan::Unary(running.unary(async move {
                    let reached = cancelled.wait_for(|count| *count >= number).await;
                    let count = reached.map(|count| *count).unwrap_or_default();
                    item(count, body)
                }))
            }
            "count" => Plan::Streaming(running.stream(numbered(number, item, body))),
            "hang" => {
                let items = numbered(number, item, body).chain(stream::pending());
                Plan::Streaming(running.stream(items))
            }
            "endless" => Plan::Streaming(running.stream(numbered(u64::MAX, item, body))),
            _ => {
                running.finish();
                Plan::Reject
            }
        }
    }

    fn notify(&self, number: u64) -> Arc<Notify> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(number).or_default().clone()
    }
}

/// As many bytes as asked for, each telling where it is.
pub fn pattern(size: u64) -> Vec<u8> {
    (0..size).map(|place| (place % 251) as u8).collect()
}

fn numbered(
    count: u64,
    item: impl Fn(u64, Vec<u8>) -> Response + Send + 'static,
    body: Vec<u8>,
) -> impl futures::Stream<Item = Response> + Send + 'static {
    stream::iter(0..count).map(move |number| item(number, body.clone()))
}

/// Notices when a call is dropped before its end: it was cancelled, or its connection was lost.
struct Running {
    cancelled: Arc<watch::Sender<u64>>,
    finished: bool,
}

impl Running {
    fn finish(mut self) {
        self.finished = true;
    }

    fn unary(self, answer: impl Future<Output = Response> + Send + 'static) -> BoxFuture<'static, Response> {
        async move {
            let response = answer.await;
            self.finish();
            response
        }
        .boxed()
    }

    fn stream(
        self,
        items: impl futures::Stream<Item = Response> + Send + 'static,
    ) -> BoxStream<'static, Response> {
        stream::unfold(
            (Some(self), items.boxed()),
            async |(running, mut items)| match items.next().await {
                Some(item) => Some((item, (running, items))),
                None => {
                    running.into_iter().for_each(Running::finish);
                    None
                }
            },
        )
        .boxed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.finished {
            self.cancelled.send_modify(|count| *count += 1);
        }
    }
}
