//! The fields of one request line, read in a single pass and not yet understood.
//!
//! Called by `request::parse` and `request::take` only. Knows which names exist and what JSON is,
//! nothing about what an operation wants. It reads on after the first problem, so that an `id`
//! that comes later in the line is still found; it never keeps more than the line itself.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::ErrorReply;

/// How much of a client's text an error sentence repeats, characters.
const SHOWN_CHARS_MAX: usize = 64;

/// The fields that some operation of this release takes, `id` aside. The commonest come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Op,
    Key,
    Value,
    TimeoutMs,
    Once,
    ValueB64,
    Version,
    IfAbsent,
    Keys,
    If,
    Then,
    Prefix,
    After,
    Limit,
    Values,
    Client,
    ReadOnly,
    // From here on the rare ones, for which no line keeps room.
    Topics,
    MaxPerS,
    Server,
    Sets,
    Set,
    Tx,
    Only,
    Node,
    KeyPrefix,
    Outcome,
    SlowerUs,
    Action,
    Change,
    Setting,
    DryRun,
    IfRingEpoch,
    Copies,
    Token,
    Request,
    Run,
}

/// How many names are common.
const COMMON: usize = Name::ReadOnly as usize + 1;

/// In the order of the enum.
const NAMES: [(Name, &str); 37] = [
    (Name::Op, "op"),
    (Name::Key, "key"),
    (Name::Value, "value"),
    (Name::TimeoutMs, "timeout_ms"),
    (Name::Once, "once"),
    (Name::ValueB64, "value_b64"),
    (Name::Version, "version"),
    (Name::IfAbsent, "if_absent"),
    (Name::Keys, "keys"),
    (Name::If, "if"),
    (Name::Then, "then"),
    (Name::Prefix, "prefix"),
    (Name::After, "after"),
    (Name::Limit, "limit"),
    (Name::Values, "values"),
    (Name::Client, "client"),
    (Name::ReadOnly, "read_only"),
    (Name::Topics, "topics"),
    (Name::MaxPerS, "max_per_s"),
    (Name::Server, "server"),
    (Name::Sets, "sets"),
    (Name::Set, "set"),
    (Name::Tx, "tx"),
    (Name::Only, "only"),
    (Name::Node, "node"),
    (Name::KeyPrefix, "key_prefix"),
    (Name::Outcome, "outcome"),
    (Name::SlowerUs, "slower_us"),
    (Name::Action, "action"),
    (Name::Change, "change"),
    (Name::Setting, "name"),
    (Name::DryRun, "dry_run"),
    (Name::IfRingEpoch, "if_ring_epoch"),
    (Name::Copies, "copies"),
    (Name::Token, "token"),
    (Name::Request, "request"),
    (Name::Run, "run"),
];

impl Name {
    pub(super) fn as_str(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// Whether what is in the field is read later: the elements of a list one by one, the fields
    /// of an object.
    fn is_read_later(self) -> bool {
        let list = matches!(self, Self::Keys | Self::If | Self::Then | Self::Topics | Self::Sets);
        list || matches!(self, Self::Only | Self::Request)
    }
}

/// The content of a field, as far as any operation could want it.
#[derive(Debug)]
pub(super) enum Field<'a> {
    Text(Cow<'a, str>),
    Unsigned(u64),
    Bool(bool),
    /// The JSON text of a list.
    List(&'a str),
    /// The JSON text of an object.
    Object(&'a str),
    Null,
    /// Something that no field may be, in words.
    Other(&'static str),
}

impl Field<'_> {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Unsigned(_) => "an integer",
            Self::Bool(_) => "true or false",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Null => "null",
            Self::Other(kind) => kind,
        }
    }
}

/// All fields of a line.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    /// The JSON text of `id`, not yet checked.
    pub(super) id: Option<&'a str>,
    common: [Option<Field<'a>>; COMMON],
    /// Those that hardly any line has: whoever sends a `get` does not pay for their places.
    rare: Vec<(Name, Field<'a>)>,
    /// The first unknown or repeated field.
    pub(super) problem: Option<Box<ErrorReply>>,
}

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, name: Name) -> Option<Field<'a>> {
        match self.common.get_mut(name as usize) {
            Some(field) => field.take(),
            None => {
                let at = self.rare.iter().position(|(rare, _)| *rare == name)?;
                Some(self.rare.swap_remove(at).1)
            }
        }
    }

    /// The text of a common field, left where it is.
    pub(super) fn text_of(&self, name: Name) -> Option<&str> {
        match self.common.get(name as usize) {
            Some(Some(Field::Text(text))) => Some(text),
            _ => None,
        }
    }

    pub(super) fn has(&self, name: Name) -> bool {
        match self.common.get(name as usize) {
            Some(field) => field.is_some(),
            None => self.rare.iter().any(|(rare, _)| *rare == name),
        }
    }

    /// A field that nobody has taken.
    pub(super) fn first_left(&self) -> Option<Name> {
        let common = self.common.iter().position(Option::is_some).map(|at| NAMES[at].0);
        common.or_else(|| self.rare.first().map(|(name, _)| *name))
    }

    fn put(&mut self, name: Name, field: Field<'a>) {
        match self.common.get_mut(name as usize) {
            Some(place) => *place = Some(field),
            None => self.rare.push((name, field)),
        }
    }

    fn repeated(&mut self, name: &str) {
        self.set_problem(name, format!("{name} is there twice: give it once"));
    }

    fn unknown(&mut self, name: &str) {
        let sentence =
            format!("unknown field {:?}: leave it out, or check its spelling", shown(name));
        self.set_problem(&shown(name), sentence);
    }

    fn set_problem(&mut self, name: &str, sentence: String) {
        if self.problem.is_none() {
            self.problem = Some(Box::new(ErrorReply::bad_field(name, sentence)));
        }
    }
}

/// The beginning of a client's text, short enough for an error sentence.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
    }
}

/// Reads the one object that `line` must be.
pub(super) fn read(line: &str) -> serde_json::Result<Fields<'_>> {
    serde_json::from_str(line)
}

/// The JSON texts of the first `elements_max` elements of the JSON list `list`, and how many there
/// are in all.
pub(super) fn elements(list: &str, elements_max: usize) -> serde_json::Result<(Vec<&str>, usize)> {
    struct Elements(usize);
    impl<'de> Visitor<'de> for Elements {
        type Value = (Vec<&'de str>, usize);

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while elements.len() < self.0 {
                match list.next_element::<&RawValue>()? {
                    Some(element) => elements.push(element.get()),
                    None => break,
                }
            }
            let mut count = elements.len();
            while list.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok((elements, count))
        }
    }
    serde_json::Deserializer::from_str(list).deserialize_seq(Elements(elements_max))
}

/// The JSON text of the line's first `id`, from a line of which nothing else need be right: it is
/// found if everything before it is JSON. Unchecked but for being a JSON value.
pub(super) fn salvage_id(line: &[u8]) -> Option<&str> {
    struct Salvage<'a, 's>(&'s mut Option<&'a str>);
    impl<'de> Visitor<'de> for Salvage<'de, '_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(NameText(name)) = map.next_key()? {
                if name == "id" {
                    *self.0 = Some(map.next_value::<&RawValue>()?.get());
                    break;
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }
    let mut id = None;
    // The result does not matter: the line is known to be broken, and what was found counts.
    let _ = serde_json::Deserializer::from_slice(line).deserialize_map(Salvage(&mut id));
    id
}

/// The text of a JSON string, or `None` if it is not one (a lone surrogate, say).
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<NameText<'_>>(raw).ok().map(|text| text.0)
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct AllFields;
        impl<'de> Visitor<'de> for AllFields {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some(NameText(name)) = map.next_key()? {
                    if let Some((known, _)) = NAMES.iter().find(|(_, text)| *text == name) {
                        let field = if known.is_read_later() {
                            unread(map.next_value::<&RawValue>()?.get())
                        } else {
                            map.next_value()?
                        };
                        if fields.has(*known) {
                            fields.repeated(&name);
                        } else {
                            fields.put(*known, field);
                        }
                    } else if name == "id" {
                        let raw = map.next_value::<&RawValue>()?.get();
                        if fields.id.is_some() {
                            fields.repeated("id");
                        } else {
                            fields.id = Some(raw);
                        }
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        fields.unknown(&name);
                    }
                }
                Ok(fields)
            }
        }
        d.deserialize_map(AllFields)
    }
}

/// A field that should be a list or an object, from its JSON text.
fn unread(raw: &str) -> Field<'_> {
    match raw.as_bytes().first() {
        Some(b'[') => Field::List(raw),
        Some(b'{') => Field::Object(raw),
        Some(b'"') => Field::Other("a string"),
        Some(b't' | b'f') => Field::Other("true or false"),
        Some(b'n') => Field::Null,
        _ => Field::Other("a number"),
    }
}

/// A string that is borrowed wherever it has no escapes: `Cow`'s own reading always copies.
struct NameText<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for NameText<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = NameText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(NameText(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(NameText(Cow::Owned(text.to_owned())))
            }
        }
        d.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(AnyField)
    }
}

struct AnyField;

impl<'de> Visitor<'de> for AnyField {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Field::Unsigned(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Other("a negative number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Other("a number with a fraction or exponent"))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Field::Bool(value))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other("an object"))
    }
}
