//! The client and its load generator: closed loops as told by JSON lines on standard input.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::BufRead;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use protosocket::PooledEncoder;
use protosocket_prost::{ProstDecoder, ProstSerializer};
use protosocket_rpc::client::{Configuration, RpcClient, TcpStreamConnector, connect};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::messages::{CacheCommand, CacheResponse, Kind};
use crate::workload::Workload;

type Client = RpcClient<CacheCommand, CacheResponse>;
type Codec = (
    PooledEncoder<ProstSerializer<CacheCommand>>,
    ProstDecoder<CacheResponse>,
);

/// A closed loop; times in seconds.
#[derive(Deserialize)]
struct Job {
    concurrency: usize,
    seconds: f64,
    warmup: f64,
}

/// What was answered within the window.
#[derive(Default, Serialize)]
struct Answer {
    operations: u64,
    seconds: f64,
    errors: BTreeMap<String, u64>,
    misses: u64,
    /// Pairs of microseconds and how many calls took them.
    latencies: Vec<(u32, u64)>,
}

/// What the callers of one loop share.
struct Loop {
    client: Client,
    workload: Rc<RefCell<Workload>>,
    last_id: Rc<Cell<u64>>,
    running: Cell<bool>,
    answers: RefCell<Vec<(Instant, u32)>>,
    errors: RefCell<BTreeMap<String, u64>>,
    misses: Cell<u64>,
}

impl Loop {
    async fn call_until_stopped(self: Rc<Self>) {
        let value_bytes = self.workload.borrow().value.len();
        while self.running.get() {
            let (command, is_get) = self.workload.borrow_mut().draw(next(&self.last_id));
            let begun = Instant::now();
            let outcome = match self.client.send_unary(command) {
                Ok(completion) => completion.await,
                Err(error) => Err(error),
            };
            let ended = Instant::now();
            match outcome.map(|response| response.kind) {
                Ok(Some(Kind::Get(get))) if is_get && get.value.len() == value_bytes => {}
                Ok(Some(Kind::Set(_))) if !is_get => {}
                Ok(Some(Kind::Error(_))) if is_get => self.misses.set(self.misses.get() + 1),
                Ok(_) => {
                    self.failed("wrong answer");
                    continue;
                }
                Err(error) => {
                    self.failed(&error.to_string());
                    // A dead peer must not become a busy loop.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
            }
            let microseconds = (ended - begun).as_nanos().div_ceil(1000).min(u32::MAX.into());
            self.answers.borrow_mut().push((ended, microseconds as u32));
        }
    }

    fn failed(&self, kind: &str) {
        *self.errors.borrow_mut().entry(kind.to_owned()).or_default() += 1;
    }
}

/// Connects, sets every key, says `ready`, and runs the jobs on standard input until it ends.
pub fn run(runtime: &Runtime, url: &str, workload: Workload) -> Result<(), Box<dyn Error>> {
    let address = url
        .strip_prefix("tcp://")
        .ok_or("a URL is tcp://host:port")?
        .parse()?;
    let local = LocalSet::new();
    let last_id = Rc::new(Cell::new(0));
    let client = local.block_on(runtime, async {
        let configuration = Configuration::new(TcpStreamConnector);
        let (client, connection) = connect::<Codec, _>(address, &configuration).await?;
        tokio::task::spawn_local(connection);
        for key in &workload.keys {
            client.send_unary(workload.prefill(next(&last_id), key))?.await?;
        }
        Ok::<Client, Box<dyn Error>>(client)
    })?;
    let workload = Rc::new(RefCell::new(workload));
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?)?;
        let shared = Rc::new(Loop {
            client: client.clone(),
            workload: workload.clone(),
            last_id: last_id.clone(),
            running: Cell::new(true),
            answers: RefCell::default(),
            errors: RefCell::default(),
            misses: Cell::new(0),
        });
        let answer = local.block_on(runtime, measure(job, shared));
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}

async fn measure(job: Job, shared: Rc<Loop>) -> Answer {
    let callers: Vec<_> = (0..job.concurrency)
        .map(|_| tokio::task::spawn_local(shared.clone().call_until_stopped()))
        .collect();
    tokio::time::sleep(Duration::from_secs_f64(job.warmup)).await;
    println!("begin");
    let begin = Instant::now();
    tokio::time::sleep(Duration::from_secs_f64(job.seconds)).await;
    let end = Instant::now();
    println!("end");
    shared.running.set(false);
    let mut errors = shared.errors.take();
    for ended in join_all(callers).await {
        if let Err(error) = ended {
            errors.insert(error.to_string(), 1);
        }
    }
    let mut latencies: BTreeMap<u32, u64> = BTreeMap::new();
    let mut operations = 0;
    for (ended, microseconds) in shared.answers.take() {
        if begin < ended && ended <= end {
            operations += 1;
            *latencies.entry(microseconds).or_default() += 1;
        }
    }
    for (kind, count) in shared.errors.take() {
        *errors.entry(kind).or_default() += count;
    }
    Answer {
        operations,
        seconds: (end - begin).as_secs_f64(),
        errors,
        misses: shared.misses.get(),
        latencies: latencies.into_iter().collect(),
    }
}

fn next(last_id: &Cell<u64>) -> u64 {
    last_id.set(last_id.get() + 1);
    last_id.get()
}
