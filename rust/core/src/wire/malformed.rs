//! Why the bytes of a message do not read.

/// A message whose fields cannot be walked, or in which something is not of its type; the text says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);
