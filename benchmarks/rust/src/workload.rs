//! The operations: keys and a value made before the run, drawn while it runs.

use bytes::Bytes;

use crate::messages::{CacheCommand, Command, GetCommand, SetCommand, Unary};

/// What the client asks for.
pub struct Workload {
    /// Every key.
    pub keys: Vec<Bytes>,
    /// What every set sends.
    pub value: Bytes,
    get_percent: u64,
    state: u64,
}

impl Workload {
    /// So many keys of `key_bytes`, values of `value_bytes`, and gets among a hundred operations.
    pub fn new(keys: usize, key_bytes: usize, value_bytes: usize, get_percent: u64) -> Self {
        let keys = (0..keys)
            .map(|number| Bytes::from(format!("{number:0key_bytes$}")))
            .collect();
        let value = (0..value_bytes)
            .map(|index| (index * 37 % 251) as u8)
            .collect::<Vec<u8>>();
        Self {
            keys,
            value: value.into(),
            get_percent,
            state: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// The next operation, and whether it is a get.
    pub fn draw(&mut self, message_id: u64) -> (CacheCommand, bool) {
        // xorshift: good enough to choose keys, and a nanosecond.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let key = self.keys[(self.state >> 32) as usize % self.keys.len()].clone();
        let is_get = self.state % 100 < self.get_percent;
        let command = if is_get {
            Command::Get(GetCommand { key })
        } else {
            Command::Set(SetCommand {
                key,
                value: self.value.clone(),
            })
        };
        (wrap(message_id, command), is_get)
    }

    /// The command that sets `key`.
    pub fn prefill(&self, message_id: u64, key: &Bytes) -> CacheCommand {
        let command = Command::Set(SetCommand {
            key: key.clone(),
            value: self.value.clone(),
        });
        wrap(message_id, command)
    }
}

fn wrap(message_id: u64, command: Command) -> CacheCommand {
    CacheCommand {
        message_id,
        control_code: 0,
        unary: Some(Unary {
            command: Some(command),
        }),
    }
}
