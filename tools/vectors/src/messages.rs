//! The sample messages of the vectors: the places an id and a control code can have in a message.

use protosocket_rpc::{Message, ProtosocketControlCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::vector::blob;

/// A sample message: made with an id and a code, and shown as JSON.
pub trait Sample: Message + Clone + Default {
    /// Its name in the vectors.
    const NAME: &'static str;

    /// One with content around the header fields.
    fn filled(id: u64, code: u32) -> Self;

    /// Its fields as JSON.
    fn fields(&self) -> Value;
}

/// Implements `Message` as the published messages do: fields `id` and `code`, the code read by its low byte.
macro_rules! message {
    ($($name:ident)*) => {$(
        impl Message for $name {
            fn message_id(&self) -> u64 {
                self.id
            }

            fn control_code(&self) -> ProtosocketControlCode {
                ProtosocketControlCode::from_u8(self.code as u8)
            }

            fn set_message_id(&mut self, message_id: u64) {
                self.id = message_id;
            }

            fn cancelled(message_id: u64) -> Self {
                let code = ProtosocketControlCode::Cancel as _;
                Self { id: message_id, code, ..Default::default() }
            }

            fn ended(message_id: u64) -> Self {
                let code = ProtosocketControlCode::End as _;
                Self { id: message_id, code, ..Default::default() }
            }
        }
    )*};
}
message!(Simple High Between Fixed Reversed Spanning First Middle Lenient);

/// Id and code in front, as most messages have them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Simple {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(uint32, tag = "2")]
    pub code: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub body: Vec<u8>,
}

impl Sample for Simple {
    const NAME: &'static str = "samples.Simple";

    fn filled(id: u64, code: u32) -> Self {
        Self {
            id,
            code,
            body: b"body".to_vec(),
        }
    }

    fn fields(&self) -> Value {
        json!({"id": self.id, "code": self.code, "body": blob(&self.body)})
    }
}

/// The id's field number is high: its key takes two bytes, and it comes last.
#[derive(Clone, PartialEq, prost::Message)]
pub struct High {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "3")]
    pub code: u32,
    #[prost(sint32, repeated, tag = "16")]
    pub numbers: Vec<i32>,
    #[prost(uint64, tag = "100")]
    pub id: u64,
}

impl Sample for High {
    const NAME: &'static str = "samples.High";

    fn filled(id: u64, code: u32) -> Self {
        Self {
            name: "high".into(),
            code,
            numbers: vec![-1, 2, -300],
            id,
        }
    }

    fn fields(&self) -> Value {
        json!({"name": self.name, "code": self.code, "numbers": self.numbers, "id": self.id})
    }
}

/// Id and code stand between other fields.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Between {
    #[prost(string, tag = "1")]
    pub before: String,
    #[prost(uint64, tag = "5")]
    pub id: u64,
    #[prost(double, tag = "7")]
    pub middle: f64,
    #[prost(uint32, tag = "9")]
    pub code: u32,
    #[prost(message, optional, boxed, tag = "12")]
    pub after: Option<Box<Between>>,
}

impl Sample for Between {
    const NAME: &'static str = "samples.Between";

    fn filled(id: u64, code: u32) -> Self {
        // The inner message carries header fields of its own, which are not the outer message's.
        let inner = Self {
            before: "inner".into(),
            id: 77,
            code: 2,
            ..Self::default()
        };
        Self {
            before: "outer".into(),
            id,
            middle: 0.5,
            code,
            after: Some(Box::new(inner)),
        }
    }

    fn fields(&self) -> Value {
        let mut fields =
            json!({"before": self.before, "id": self.id, "middle": self.middle, "code": self.code});
        if let Some(after) = &self.after {
            fields["after"] = after.fields();
        }
        fields
    }
}

/// Id and code are fixed-width.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Fixed {
    #[prost(fixed64, tag = "1")]
    pub id: u64,
    #[prost(fixed32, tag = "2")]
    pub code: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub body: Vec<u8>,
}

impl Sample for Fixed {
    const NAME: &'static str = "samples.Fixed";

    fn filled(id: u64, code: u32) -> Self {
        Self {
            id,
            code,
            body: b"body".to_vec(),
        }
    }

    fn fields(&self) -> Value {
        json!({"id": self.id, "code": self.code, "body": blob(&self.body)})
    }
}

/// The code's field number is lower than the id's.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reversed {
    #[prost(uint32, tag = "2")]
    pub code: u32,
    #[prost(fixed32, tag = "3")]
    pub count: u32,
    #[prost(uint64, tag = "4")]
    pub id: u64,
}

impl Sample for Reversed {
    const NAME: &'static str = "samples.Reversed";

    fn filled(id: u64, code: u32) -> Self {
        Self { code, count: 3, id }
    }

    fn fields(&self) -> Value {
        json!({"code": self.code, "count": self.count, "id": self.id})
    }
}

/// A oneof spans the header fields: prost writes it where its lowest number belongs, so out of order.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Spanning {
    #[prost(uint64, tag = "50")]
    pub id: u64,
    #[prost(uint32, tag = "51")]
    pub code: u32,
    #[prost(oneof = "Span", tags = "1, 60")]
    pub span: Option<Span>,
}

/// The oneof of [`Spanning`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Span {
    #[prost(string, tag = "1")]
    Low(String),
    #[prost(string, tag = "60")]
    Above(String),
}

impl Sample for Spanning {
    const NAME: &'static str = "samples.Spanning";

    fn filled(id: u64, code: u32) -> Self {
        Self {
            id,
            code,
            span: Some(Span::Above("span".into())),
        }
    }

    fn fields(&self) -> Value {
        let mut fields = json!({"id": self.id, "code": self.code});
        match &self.span {
            Some(Span::Low(text)) => fields["low"] = json!(text),
            Some(Span::Above(text)) => fields["above"] = json!(text),
            None => {}
        }
        fields
    }
}

/// A MessagePack struct with id and code in front.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct First {
    pub id: u64,
    pub code: u8,
    pub body: String,
}

impl Sample for First {
    const NAME: &'static str = "First";

    fn filled(id: u64, code: u32) -> Self {
        Self {
            id,
            code: code as u8,
            body: "body".into(),
        }
    }

    fn fields(&self) -> Value {
        json!({"id": self.id, "code": self.code, "body": self.body})
    }
}

/// A MessagePack struct with id and code between other fields.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Middle {
    pub names: Vec<String>,
    pub code: u8,
    pub ratio: f64,
    pub id: u64,
    pub inner: Option<Box<Middle>>,
}

impl Sample for Middle {
    const NAME: &'static str = "Middle";

    fn filled(id: u64, code: u32) -> Self {
        let inner = Self {
            names: Vec::new(),
            code: 2,
            ratio: 0.0,
            id: 77,
            inner: None,
        };
        let names = vec!["a".into(), "b".into()];
        Self {
            names,
            code: code as u8,
            ratio: 0.5,
            id,
            inner: Some(Box::new(inner)),
        }
    }

    fn fields(&self) -> Value {
        let inner = self.inner.as_ref().map(|inner| inner.fields());
        json!({"names": self.names, "code": self.code, "ratio": self.ratio, "id": self.id, "inner": inner})
    }
}

/// A MessagePack struct whose fields may be missing from a map.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lenient {
    pub id: u64,
    pub code: u32,
    pub body: String,
}

impl Sample for Lenient {
    const NAME: &'static str = "Lenient";

    fn filled(id: u64, code: u32) -> Self {
        Self {
            id,
            code,
            body: "body".into(),
        }
    }

    fn fields(&self) -> Value {
        json!({"id": self.id, "code": self.code, "body": self.body})
    }
}

/// Ids at the edges of their encodings.
pub const IDS: [u64; 12] = [
    0,
    1,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    (1 << 32) - 1,
    1 << 32,
    1 << 63,
    u64::MAX,
];

/// Normal, Cancel, End, and one nobody knows.
pub const CODES: [u32; 4] = [0, 1, 2, 7];

/// Every vector of one sample type: ids, codes, defaults, and the messages the RPC layer makes by itself.
pub fn every<S: Sample>() -> Vec<(String, S)> {
    let name = S::NAME.rsplit('.').next().expect("a name").to_lowercase();
    let mut all = vec![(format!("{name}, all fields default"), S::default())];
    all.extend(IDS.map(|id| (format!("{name}, id {id}"), S::filled(id, 0))));
    all.extend(CODES.map(|code| (format!("{name}, code {code}"), S::filled(3, code))));
    let mut changed = S::filled(5, 0);
    changed.set_message_id(300);
    all.push((format!("{name}, set_message_id(300)"), changed));
    for id in [0, 1, 1 << 32, u64::MAX] {
        all.push((format!("{name}, cancelled({id})"), S::cancelled(id)));
        all.push((format!("{name}, ended({id})"), S::ended(id)));
    }
    all
}
