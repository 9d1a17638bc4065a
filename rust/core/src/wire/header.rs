//! The header of an RPC message: its id and its control code.

/// What a message asks of the peer's RPC layer (`protosocket-rpc`, `ProtosocketControlCode`). What a code means for a
/// call, the machines of `rpc` decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Control {
    /// An ordinary request, response or item.
    Normal = 0,
    /// Stop the RPC with this id.
    Cancel = 1,
    /// The stream with this id is complete.
    End = 2,
}

impl Control {
    /// The control code for a number on the wire: an unknown one is a Cancel, so that a peer with more codes than these
    /// ends its call here and does not wait.
    #[inline]
    pub fn from_wire(value: u64) -> Self {
        match value {
            0 => Control::Normal,
            2 => Control::End,
            _ => Control::Cancel,
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Control::Normal => "normal",
            Control::Cancel => "cancel",
            Control::End => "end",
        }
    }
}

/// The id and the control code of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the client, the same in every message of the answer.
    pub id: u64,
    /// What the message is.
    pub control: Control,
}

impl Header {
    /// The header with a control code that is a number on the wire.
    pub fn from_wire(id: u64, code: u64) -> Self {
        Header {
            id,
            control: Control::from_wire(code),
        }
    }
}
