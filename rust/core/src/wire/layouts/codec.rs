//! What a header layout is: a way to find id and control code in an encoded message, and to put others there.
//!
//! The RPC layer adds nothing to the wire: where id and control code are fields of the user's own message, they are found
//! in its bytes and placed in them, so that no message object has to be built, or touched, for it.

use std::ops::Range;

use super::parameters::Parameters;
use crate::wire::framing::Framing;
use crate::wire::header::Header;
use crate::wire::malformed::Malformed;
use crate::wire::piece::Piece;

/// Where one of the two fields stands in an encoded message; empty where it would be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub start: usize,
    /// The byte behind it.
    pub end: usize,
}

/// What was found in a message: the header and where its fields stand.
#[derive(Clone, Copy, Debug)]
pub struct Located {
    /// What the fields say.
    pub header: Header,
    /// Where the id stands.
    pub id: Place,
    /// Where the control code stands.
    pub control: Place,
    /// Each field stands at most once and where a canonical encoder puts it, so that it can be replaced there.
    pub canonical: bool,
}

/// A way in which messages carry their id and their control code.
pub trait HeaderCodec: Sized {
    /// Whether messages are protobuf as a whole.
    const IS_PROTOBUF: bool = false;

    /// The layout that these parameters describe, else a text that says what is wrong with them.
    fn from_parameters(parameters: &mut Parameters) -> Result<Self, String>;

    /// For fuzzing and property tests: any layout of this kind, as arbitrary bytes choose it.
    fn chosen(choices: [u8; 3]) -> Option<Self>;

    /// The largest id that it can carry: a power of two less one.
    fn largest_id(&self) -> u64;

    /// Finds the header in a message.
    fn locate(&self, message: &[u8]) -> Result<Located, Malformed>;

    /// The id's field with this value.
    fn encode_id(&self, id: u64) -> Piece;

    /// The control code's field with this value.
    fn encode_control(&self, code: u64) -> Piece;

    /// Whether the id stands before the control code.
    #[inline]
    fn is_id_first(&self, located: &Located) -> bool {
        located.id.start < located.control.start
    }

    /// A message that says the same and whose header is canonical, for one whose header is not.
    fn tidied(&self, _message: &[u8]) -> Result<Vec<u8>, Malformed> {
        Err(Malformed("its header is not where it belongs"))
    }

    /// The part of a message that the user's own encoding reads: all of it where the header is fields of it.
    fn content<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        message
    }

    /// The same as [`HeaderCodec::locate`], for messages that seldom have a header already.
    #[inline]
    fn locate_in_new(&self, message: &[u8]) -> Result<Located, Malformed> {
        self.locate(message)
    }

    /// A shorter way to do what [`HeaderCodec::put_located`] does; false where there is none.
    #[inline]
    fn put_shortly(
        &self,
        _framing: Option<Framing>,
        _message: &[u8],
        _located: &Located,
        _header: Header,
        _output: &mut Vec<u8>,
    ) -> bool {
        false
    }

    /// Appends `message` to `output` with this header in it, behind its length if there is a framing.
    #[inline]
    fn put(
        &self,
        framing: Option<Framing>,
        message: &[u8],
        header: Header,
        output: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let located = self.locate_in_new(message)?;
        self.put_located(framing, message, &located, header, output)
    }

    /// The same for a message whose header was found before.
    #[inline]
    fn put_located(
        &self,
        framing: Option<Framing>,
        message: &[u8],
        located: &Located,
        header: Header,
        output: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        if !located.canonical {
            let tidy = self.tidied(message)?;
            let located = self.locate(&tidy)?;
            debug_assert!(located.canonical);
            put_pieces(self, framing, &tidy, &located, header, output);
        } else if !self.put_shortly(framing, message, located, header, output) {
            put_pieces(self, framing, message, located, header, output);
        }
        Ok(())
    }

    /// The same as [`HeaderCodec::put`] with the longest part of `message` that stays as it is left out: what comes
    /// before it is appended to `output`, what comes after it to `after`, and its place returned.
    fn frame_around(
        &self,
        framing: Framing,
        message: &[u8],
        header: Header,
        output: &mut Vec<u8>,
        after: &mut Vec<u8>,
    ) -> Result<Range<usize>, Malformed> {
        let located = self.locate(message)?;
        if !located.canonical {
            self.put_located(Some(framing), message, &located, header, output)?;
            return Ok(0..0);
        }
        let pieces = pieces(self, message.len(), &located, header);
        framing.prefix(pieces.length(), output);
        let longest = (0..3).max_by_key(|at| pieces.kept[*at].len()).unwrap_or(0);
        for at in 0..3 {
            let output = if at <= longest { &mut *output } else { &mut *after };
            if at > 0 {
                output.extend_from_slice(pieces.put[at - 1].as_slice());
            }
            if at != longest {
                output.extend_from_slice(&message[pieces.kept[at].clone()]);
            }
        }
        Ok(pieces.kept[longest].clone())
    }
}

/// A message with another header: parts of it that are kept, and the fields that are put between them.
struct Pieces {
    kept: [Range<usize>; 3],
    put: [Piece; 2],
}

impl Pieces {
    #[inline]
    fn length(&self) -> usize {
        self.kept.iter().map(Range::len).sum::<usize>() + self.put[0].len() + self.put[1].len()
    }
}

#[inline]
fn pieces(codec: &impl HeaderCodec, length: usize, located: &Located, header: Header) -> Pieces {
    let id = (located.id, codec.encode_id(header.id));
    let control = (located.control, codec.encode_control(header.control as u64));
    let (first, second) = if codec.is_id_first(located) {
        (id, control)
    } else {
        (control, id)
    };
    Pieces {
        kept: [
            0..first.0.start,
            first.0.end..second.0.start,
            second.0.end..length,
        ],
        put: [first.1, second.1],
    }
}

#[inline]
fn put_pieces(
    codec: &impl HeaderCodec,
    framing: Option<Framing>,
    message: &[u8],
    located: &Located,
    header: Header,
    output: &mut Vec<u8>,
) {
    let pieces = pieces(codec, message.len(), located, header);
    if let Some(framing) = framing {
        framing.prefix(pieces.length(), output);
    }
    let Pieces { kept, put } = &pieces;
    output.extend_from_slice(&message[kept[0].clone()]);
    output.extend_from_slice(put[0].as_slice());
    output.extend_from_slice(&message[kept[1].clone()]);
    output.extend_from_slice(put[1].as_slice());
    output.extend_from_slice(&message[kept[2].clone()]);
}
