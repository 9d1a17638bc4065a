//! The crate's decoders, fed with cases from standard input: what they accept, refuse and consume.
//!
//! A case is the number of its bytes (u32), then: the encoding (u8, 0 is protobuf and 1 MessagePack), the receive limit
//! (u32), the number of pieces (u32), the length of each (u32), and the bytes of all. Numbers are little-endian. The
//! answer is a JSON line with the messages and how the stream stands after the last piece.

use std::error::Error;
use std::io::{Read, Write, stdin, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};

use protosocket::DeserializeError;
use protosocket_rpc::Message;
use serde_json::{Value, json};

use crate::decode::decoder;
use crate::messages::Request;

/// What a decoder says about the unread bytes.
pub type Decoded = Result<(usize, Request), DeserializeError>;

/// A decoder of one connection.
pub type Decode = Box<dyn FnMut(&[u8]) -> Decoded>;

/// Answers cases until there are no more.
pub fn run() -> Result<(), Box<dyn Error>> {
    std::panic::set_hook(Box::new(|_| ()));
    let mut cases = Vec::new();
    stdin().read_to_end(&mut cases)?;
    let mut rest = cases.as_slice();
    let mut out = stdout().lock();
    while !rest.is_empty() {
        let size = number(&mut rest)?;
        let mut case = take(&mut rest, size)?;
        let encoding = take(&mut case, 1)?[0];
        let limit = number(&mut case)?;
        let pieces = number(&mut case)?;
        let lengths = (0..pieces)
            .map(|_| number(&mut case))
            .collect::<Result<Vec<_>, _>>()?;
        let mut messages = Vec::new();
        let end = catch_unwind(AssertUnwindSafe(|| {
            feed(decoder(encoding), case, &lengths, limit, &mut messages)
        }));
        let end = end.unwrap_or_else(|_| json!(["panic"]));
        writeln!(out, "{}", json!({"messages": messages, "end": end}))?;
    }
    Ok(())
}

/// Decodes as the crate's connection does when the bytes arrive in these pieces.
fn feed(
    mut decode: impl FnMut(&[u8]) -> Decoded,
    case: &[u8],
    lengths: &[usize],
    limit: usize,
    messages: &mut Vec<Value>,
) -> Value {
    let (mut read, mut cursor, mut end) = (0, 0, json!(["clean"]));
    for length in lengths {
        read += length;
        end = loop {
            if cursor == read {
                break json!(["clean"]);
            }
            match decode(&case[cursor..read]) {
                Ok((consumed, message)) => {
                    cursor += consumed;
                    messages.push(json!({
                        "consumed": consumed,
                        "id": message.id,
                        "control": message.control_code().as_u8(),
                        "command": message.command,
                        "number": message.number,
                        "body": message.body.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
                    }));
                    if cursor > read {
                        return json!(["invalid"]);
                    }
                }
                Err(DeserializeError::IncompleteBuffer { next_message_size }) => {
                    if limit < next_message_size {
                        return json!(["too large"]);
                    }
                    break json!(["incomplete", next_message_size]);
                }
                Err(DeserializeError::InvalidBuffer) => return json!(["invalid"]),
                Err(DeserializeError::SkipMessage { distance }) => cursor += distance,
            }
        };
    }
    end
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Box<dyn Error>> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or("a case is cut off")?;
    *bytes = rest;
    Ok(taken)
}

fn number(bytes: &mut &[u8]) -> Result<usize, Box<dyn Error>> {
    Ok(u32::from_le_bytes(take(bytes, 4)?.try_into()?) as usize)
}
