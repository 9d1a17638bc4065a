//! The macro that makes a table of layouts one type.

/// Makes `Layout` of lines `"name" => Variant(what implements HeaderCodec)`: an enum and not a pointer to a trait, since
/// every message of a connection goes through it.
macro_rules! layouts {
    ($($(#[$says:meta])* $name:literal => $variant:ident($fields:ty),)*) => {
        /// Where messages carry their id and their control code.
        #[derive(Clone, Debug)]
        pub enum Layout {
            $($(#[$says])* $variant($fields),)*
        }

        /// What the layouts are called.
        pub const NAMES: &[&str] = &[$($name),*];

        impl Layout {
            /// The layout with this name and these parameters; else a text that says what is wrong with them.
            pub fn new(name: &str, mut parameters: Parameters) -> Result<Self, String> {
                let layout = match name {
                    $($name => <$fields>::from_parameters(&mut parameters).map(Layout::$variant),)*
                    other => Err(format!("there is no header layout {other}; there are: {}", NAMES.join(", "))),
                }?;
                parameters.finish().map(|()| layout)
            }

            /// For fuzzing and property tests: a layout with this name, as arbitrary bytes choose it.
            pub fn chosen(name: &str, choices: [u8; 3]) -> Option<Self> {
                match name {
                    $($name => <$fields>::chosen(choices).map(Layout::$variant),)*
                    _ => None,
                }
            }

            /// The largest id that it can carry.
            pub fn largest_id(&self) -> u64 {
                match self {
                    $(Layout::$variant(fields) => fields.largest_id(),)*
                }
            }

            /// Whether messages with it are protobuf as a whole.
            pub fn is_protobuf(&self) -> bool {
                match self {
                    $(Layout::$variant(_) => <$fields>::IS_PROTOBUF,)*
                }
            }

            /// The part of a message that the user's own encoding reads: all of it where the header is fields of it.
            pub fn content<'a>(&self, message: &'a [u8]) -> &'a [u8] {
                match self {
                    $(Layout::$variant(fields) => fields.content(message),)*
                }
            }

            /// Reads id and control code and remembers where they stand, for [`Layout::frame_located`].
            #[inline]
            pub fn locate(&self, message: &[u8]) -> Result<Located, Malformed> {
                match self {
                    $(Layout::$variant(fields) => fields.locate(message),)*
                }
            }

            #[inline]
            fn put(
                &self,
                framing: Option<Framing>,
                message: &[u8],
                header: Header,
                output: &mut Vec<u8>,
            ) -> Result<(), Malformed> {
                match self {
                    $(Layout::$variant(fields) => fields.put(framing, message, header, output),)*
                }
            }

            /// The same as [`Layout::frame`] for a message that was walked before.
            #[inline]
            pub fn frame_located(
                &self,
                framing: Framing,
                message: &[u8],
                located: &Located,
                header: Header,
                output: &mut Vec<u8>,
            ) -> Result<(), Malformed> {
                match self {
                    $(Layout::$variant(fields) => {
                        fields.put_located(Some(framing), message, located, header, output)
                    })*
                }
            }

            /// The same as [`Layout::frame`] with the longest part of `message` that stays as it is left out: what
            /// comes before it is appended to `output`, what comes after it to `after`, and its place returned.
            pub fn frame_around(
                &self,
                framing: Framing,
                message: &[u8],
                header: Header,
                output: &mut Vec<u8>,
                after: &mut Vec<u8>,
            ) -> Result<Range<usize>, Malformed> {
                match self {
                    $(Layout::$variant(fields) => fields.frame_around(framing, message, header, output, after),)*
                }
            }
        }
    };
}
