//! What each operation wants of a line's fields: types, limits, and the words about what is wrong.
//!
//! Called by `request::parse` only. Whatever is refused is named by its field; within a list by its
//! place too, as in `then[2].key`. Lists are read element by element and no further than allowed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Display;

use super::fields::{self, Field, Fields, Name};
use super::{
    CLIENT_BYTES_MAX, Change, Condition, MGET_KEYS_MAX, ONCE_BYTES_MAX, ONCE_BYTES_MIN, Op,
    SCAN_ITEMS_DEFAULT, SCAN_ITEMS_MAX, TIMEOUT_MS_MAX, TXN_CONDITIONS_MAX, TXN_WRITES_MAX,
    UpdateName, Watched, Write, bad_field, cause, too_large,
};
use super::{admin, explain};
use crate::error::ErrorReply;
use crate::ids::Version;
use crate::json;
use crate::limits::Limits;

mod subscribe;

/// The operations of this release, for the sentence about unknown ones.
const OPS: &str = "get, put, update, cas, del, mget, txn, scan, watch, locate, explain, \
     outcome, subscribe, status, hello, auth, admin";

pub(super) type Taken<T> = Result<T, Box<ErrorReply>>;

/// `timeout_ms`, `once` and the operation of a line.
pub(super) fn request<'a>(
    fields: Fields<'a>,
    limits: &Limits,
) -> Taken<(Option<u32>, Option<Cow<'a, str>>, Op<'a>)> {
    let mut line = Object { fields, limits, place: Place::Line };
    // The op first: the fields of an op that this release does not know are unknown to it too,
    // and the op is what its user has to change.
    let Some(op) = line.text(Name::Op)? else {
        return Err(line.wrong(Name::Op, format_args!("is missing: say what to do, one of {OPS}")));
    };
    if !OPS.split(", ").any(|known| known == op) {
        let what = format!("unknown op {:?}: use one of {OPS}", fields::shown(&op));
        return Err(bad_field("op", what));
    }
    line.check_problem()?;
    let timeout_ms = line.timeout()?;
    let op = line.op(&op)?;
    // What is explained has a name of its own.
    let named = op.is_update() && !matches!(op, Op::Explain(_));
    let once = if named { line.once()? } else { None };
    line.check_empty(op.name())?;
    Ok((timeout_ms, once, op))
}

/// The fields of a request, or of an object in it.
pub(super) struct Object<'a, 'l> {
    fields: Fields<'a>,
    limits: &'l Limits,
    place: Place,
}

/// Where an object stands.
#[derive(Clone, Copy)]
enum Place {
    /// It is the request.
    Line,
    /// In this list, at this place.
    List(Name, usize),
    /// It is this field.
    Field(Name),
}

impl Place {
    /// How it is named; `None` for the request itself.
    fn shown(self) -> Option<String> {
        match self {
            Self::Line => None,
            Self::List(list, at) => Some(format!("{}[{at}]", list.as_str())),
            Self::Field(name) => Some(name.as_str().to_owned()),
        }
    }
}

impl<'a, 'l> Object<'a, 'l> {
    /// The element `raw` of the list `list`.
    fn element(raw: &'a str, list: Name, at: usize, limits: &'l Limits) -> Taken<Self> {
        Self::within(raw, Place::List(list, at), limits)
    }

    /// The object `raw` that stands in the request.
    fn within(raw: &'a str, place: Place, limits: &'l Limits) -> Taken<Self> {
        let fields = Self::fields_of(raw, place)?;
        let mut object = Self { fields, limits, place };
        object.check_problem()?;
        Ok(object)
    }

    /// The fields of the object `raw` that stands in the request, not looked at yet.
    fn fields_of(raw: &'a str, place: Place) -> Taken<Fields<'a>> {
        let wrong = |what: String| {
            let place = place.shown().unwrap_or_default();
            bad_field(&place, format!("{place} {what}"))
        };
        let fields = fields::read(raw).map_err(|error| {
            wrong(if error.is_data() {
                "must be an object".into()
            } else {
                format!("is broken JSON ({})", cause(&error))
            })
        })?;
        if fields.id.is_some() {
            return Err(wrong("takes no field id: leave it out".into()));
        }
        Ok(fields)
    }

    /// The fields of the object `raw` that is the field `name`, not looked at yet.
    pub(super) fn inside(&self, name: Name, raw: &'a str) -> Taken<Fields<'a>> {
        Self::fields_of(raw, Place::Field(name))
    }

    pub(super) fn limits(&self) -> &'l Limits {
        self.limits
    }

    pub(super) fn take(&mut self, name: Name) -> Option<Field<'a>> {
        self.fields.take(name)
    }

    /// A field's name, with its place in the request.
    fn path(&self, name: &str) -> String {
        match self.place.shown() {
            None => name.to_owned(),
            Some(place) => format!("{place}.{name}"),
        }
    }

    /// The field `name` is wrong; `what` goes on behind its name.
    pub(super) fn wrong(&self, name: Name, what: impl Display) -> Box<ErrorReply> {
        let path = self.path(name.as_str());
        bad_field(&path, format!("{path} {what}"))
    }

    pub(super) fn wrong_type(&self, name: Name, wanted: &str, got: &Field<'_>) -> Box<ErrorReply> {
        self.wrong(name, format_args!("must be {wanted}, not {}", got.kind()))
    }

    /// Refuses unknown and repeated fields.
    fn check_problem(&mut self) -> Taken<()> {
        let Some(mut problem) = self.fields.problem.take() else { return Ok(()) };
        if let Some(place) = self.place.shown() {
            problem.error = format!("{place}: {}", problem.error).into();
            problem.field = problem.field.map(|name| self.path(&name));
        }
        Err(problem)
    }

    /// Refuses known fields that `op` has no use for.
    fn check_empty(&self, op: &str) -> Taken<()> {
        match self.fields.first_left() {
            None => Ok(()),
            Some(name) => {
                let path = self.path(name.as_str());
                let sentence = format!("{op} takes no field {}: leave it out", name.as_str());
                Err(bad_field(&path, sentence))
            }
        }
    }

    fn op(&mut self, op: &str) -> Taken<Op<'a>> {
        Ok(match op {
            "get" => Op::Get { key: self.key()? },
            "put" => {
                let (key, value) = (self.key()?, self.value()?);
                Op::Put { key, value, if_absent: self.flag(Name::IfAbsent)? }
            }
            "update" => Op::Update { key: self.key()?, value: self.value()? },
            "cas" => {
                let (key, value) = (self.key()?, self.value()?);
                let version = self.version()?.ok_or_else(|| {
                    let what =
                        "is missing: give the one that the key must have, as a reply told it";
                    self.wrong(Name::Version, what)
                })?;
                Op::Cas { key, value, version }
            }
            "del" => Op::Del { key: self.key()?, version: self.version()? },
            "mget" => Op::Mget { keys: self.keys()? },
            "txn" => Op::Txn { conditions: self.conditions()?, writes: self.writes()? },
            "scan" => Op::Scan {
                prefix: self.key_part(Name::Prefix)?.unwrap_or_default(),
                after: self.key_part(Name::After)?,
                limit: self.limit()?,
                values: self.flag(Name::Values)?,
            },
            "watch" => Op::Watch { of: self.watched()? },
            "locate" => Op::Locate { key: self.key()?, copies: self.flag(Name::Copies)? },
            "explain" => Op::Explain(Box::new(explain::take(self)?)),
            "admin" => Op::Admin(admin::take(self)?),
            "auth" => Op::Auth { token: self.token()? },
            "outcome" => Op::Outcome { of: self.update_name()? },
            "subscribe" => Op::Subscribe(Box::new(self.subscribe()?)),
            "status" => Op::Status,
            _ => self.hello()?,
        })
    }

    pub(super) fn text(&mut self, name: Name) -> Taken<Option<Cow<'a, str>>> {
        match self.fields.take(name) {
            None => Ok(None),
            Some(Field::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(name, "a string", &other)),
        }
    }

    pub(super) fn flag(&mut self, name: Name) -> Taken<bool> {
        match self.fields.take(name) {
            None => Ok(false),
            Some(Field::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.wrong_type(name, "true or false", &other)),
        }
    }

    /// An integer from 1 to `max`.
    fn number(&mut self, name: Name, max: u32) -> Taken<Option<u32>> {
        match self.fields.take(name) {
            None => Ok(None),
            Some(Field::Unsigned(number)) if (1..=u64::from(max)).contains(&number) => {
                Ok(Some(number as u32))
            }
            Some(Field::Unsigned(_)) => {
                Err(self.wrong(name, format_args!("must be from 1 to {max}")))
            }
            Some(other) => {
                Err(self.wrong_type(name, &format!("an integer from 1 to {max}"), &other))
            }
        }
    }

    /// Any integer from 0 up.
    pub(super) fn amount(&mut self, name: Name) -> Taken<u64> {
        match self.fields.take(name) {
            Some(Field::Unsigned(number)) => Ok(number),
            Some(other) => Err(self.wrong_type(name, "an integer", &other)),
            None => Err(self.wrong(name, "is missing: give an integer")),
        }
    }

    fn token(&mut self) -> Taken<Cow<'a, str>> {
        let token = self.text(Name::Token)?;
        token.ok_or_else(|| self.wrong(Name::Token, "is missing: give the text of a token"))
    }

    fn timeout(&mut self) -> Taken<Option<u32>> {
        self.number(Name::TimeoutMs, TIMEOUT_MS_MAX)
    }

    fn limit(&mut self) -> Taken<u32> {
        Ok(self.number(Name::Limit, SCAN_ITEMS_MAX)?.unwrap_or(SCAN_ITEMS_DEFAULT))
    }

    fn once(&mut self) -> Taken<Option<Cow<'a, str>>> {
        let once = self.text(Name::Once)?;
        match &once {
            Some(text) if !(ONCE_BYTES_MIN..=ONCE_BYTES_MAX).contains(&text.len()) => {
                let bytes = text.len();
                Err(self.wrong(
                    Name::Once,
                    format_args!(
                        "must have {ONCE_BYTES_MIN} to {ONCE_BYTES_MAX} bytes, not {bytes}: use \
                         32 random hex digits"
                    ),
                ))
            }
            _ => Ok(once),
        }
    }

    fn key(&mut self) -> Taken<Cow<'a, str>> {
        let Some(key) = self.text(Name::Key)? else {
            return Err(self.wrong(Name::Key, "is missing: say which key, as a string"));
        };
        check_key(&key, self.limits, || self.path("key"))?;
        Ok(key)
    }

    /// What a key may begin with, or be compared to.
    fn key_part(&mut self, name: Name) -> Taken<Option<Cow<'a, str>>> {
        let part = self.text(name)?;
        match &part {
            Some(text) if text.len() > self.limits.key_bytes => {
                Err(too_large(name.as_str(), self.limits.key_bytes, text.len()))
            }
            _ => Ok(part),
        }
    }

    fn value(&mut self) -> Taken<Cow<'a, [u8]>> {
        let text = self.text(Name::Value)?;
        let base64 = self.text(Name::ValueB64)?;
        let bytes_max = self.limits.value_bytes;
        let value = match (text, base64) {
            (Some(Cow::Borrowed(text)), None) => Cow::Borrowed(text.as_bytes()),
            (Some(Cow::Owned(text)), None) => Cow::Owned(text.into_bytes()),
            (None, Some(base64)) => {
                // Refused by its length before it is decoded, so that nothing large is allocated.
                let padding = base64.bytes().rev().take(2).filter(|byte| *byte == b'=').count();
                let decoded_bytes = (base64.len() / 4 * 3).saturating_sub(padding);
                if decoded_bytes > bytes_max {
                    return Err(too_large("value", bytes_max, decoded_bytes));
                }
                Cow::Owned(json::decode_base64(&base64).ok_or_else(|| {
                    let what = "is not base64: use the RFC 4648 alphabet with padding, and no \
                                blanks";
                    self.wrong(Name::ValueB64, what)
                })?)
            }
            (None, None) => {
                let what = "is missing: give value (text) or value_b64 (any bytes)";
                return Err(self.wrong(Name::Value, what));
            }
            (Some(_), Some(_)) => {
                let what = "and value are both there: give exactly one of them";
                return Err(self.wrong(Name::ValueB64, what));
            }
        };
        if value.len() > bytes_max {
            return Err(too_large("value", bytes_max, value.len()));
        }
        Ok(value)
    }

    fn version(&mut self) -> Taken<Option<Version>> {
        let text = self.text(Name::Version)?;
        text.map(|text| self.parsed_version(&text)).transpose()
    }

    fn parsed_version(&self, text: &str) -> Taken<Version> {
        text.parse().map_err(|_| {
            let what = "is not a version: give one as a reply told it, like \"3.17\"";
            self.wrong(Name::Version, what)
        })
    }

    /// The elements of a list of `min` to `max`; an absent one is empty.
    fn list(&mut self, name: Name, min: usize, max: usize) -> Taken<Vec<&'a str>> {
        let list = match self.fields.take(name) {
            None if min == 0 => return Ok(Vec::new()),
            None => {
                let what = format!("is missing: give a list of {min} to {max}");
                return Err(self.wrong(name, what));
            }
            Some(Field::List(list)) => list,
            Some(other) => return Err(self.wrong_type(name, "a list", &other)),
        };
        let (elements, count) = fields::elements(list, max).map_err(|error| {
            self.wrong(name, format_args!("is broken JSON ({})", cause(&error)))
        })?;
        if !(min..=max).contains(&count) {
            let what = format!("must have {min} to {max} elements, not {count}");
            return Err(self.wrong(name, what));
        }
        Ok(elements)
    }

    fn keys(&mut self) -> Taken<Vec<Cow<'a, str>>> {
        let elements = self.list(Name::Keys, 1, MGET_KEYS_MAX)?;
        let key = |(at, raw): (usize, &'a str)| {
            let path = || format!("keys[{at}]");
            let key = fields::string(raw).ok_or_else(|| {
                bad_field(&path(), format!("{} must be a string: say which key", path()))
            })?;
            check_key(&key, self.limits, path)?;
            Ok(key)
        };
        elements.into_iter().enumerate().map(key).collect()
    }

    fn conditions(&mut self) -> Taken<Vec<Condition<'a>>> {
        let elements = self.list(Name::If, 0, TXN_CONDITIONS_MAX)?;
        let condition = |(at, raw)| {
            let mut object = Object::element(raw, Name::If, at, self.limits)?;
            let key = object.key()?;
            let version = match object.fields.take(Name::Version) {
                Some(Field::Null) => None,
                Some(Field::Text(text)) => Some(object.parsed_version(&text)?),
                Some(other) => {
                    return Err(object.wrong_type(Name::Version, "a string or null", &other));
                }
                None => {
                    let what = "is missing: give the one that the key must have, or null where \
                                there must be no such key";
                    return Err(object.wrong(Name::Version, what));
                }
            };
            object.check_empty("a condition")?;
            Ok(Condition { key, version })
        };
        elements.into_iter().enumerate().map(condition).collect()
    }

    fn writes(&mut self) -> Taken<Vec<Write<'a>>> {
        let elements = self.list(Name::Then, 1, TXN_WRITES_MAX)?;
        let mut writes = Vec::with_capacity(elements.len());
        for (at, raw) in elements.into_iter().enumerate() {
            let mut object = Object::element(raw, Name::Then, at, self.limits)?;
            let op = object.text(Name::Op)?;
            let change = match op.as_deref() {
                Some("put") => Change::Put(object.value()?),
                Some("update") => Change::Update(object.value()?),
                Some("del") => Change::Del,
                Some(other) => {
                    let what = format!(
                        "is {:?}: a txn does put, update and del; conditions stand in if",
                        fields::shown(other)
                    );
                    return Err(object.wrong(Name::Op, what));
                }
                None => {
                    return Err(object.wrong(Name::Op, "is missing: use put, update or del"));
                }
            };
            let key = object.key()?;
            object.check_empty(&format!("{} in a txn", change.name()))?;
            writes.push(Write { key, change });
        }
        let mut seen = HashSet::with_capacity(writes.len());
        if let Some(at) = writes.iter().position(|write| !seen.insert(&*write.key)) {
            let path = format!("then[{at}].key");
            let sentence = format!("{path} is written twice: name every key in then once");
            return Err(bad_field(&path, sentence));
        }
        Ok(writes)
    }

    fn watched(&mut self) -> Taken<Watched<'a>> {
        match self.key_part(Name::Prefix)? {
            Some(prefix) => Ok(Watched::Prefix(prefix)),
            None if self.fields.has(Name::Key) => Ok(Watched::Key(self.key()?)),
            None => {
                let what = "is missing: say which key to watch, or give a prefix";
                Err(self.wrong(Name::Key, what))
            }
        }
    }

    fn update_name(&mut self) -> Taken<UpdateName<'a>> {
        if let Some(version) = self.version()? {
            return Ok(UpdateName::Version(version));
        }
        match self.once()? {
            Some(once) => Ok(UpdateName::Once { once, key: self.key()? }),
            None => {
                let what = "is missing: give the version of the update, or its once and a key that \
                            it writes";
                Err(self.wrong(Name::Version, what))
            }
        }
    }

    fn hello(&mut self) -> Taken<Op<'a>> {
        let client = self.text(Name::Client)?;
        if client.as_ref().is_some_and(|client| client.len() > CLIENT_BYTES_MAX) {
            let what = format!("is too long: use at most {CLIENT_BYTES_MAX} bytes");
            return Err(self.wrong(Name::Client, what));
        }
        Ok(Op::Hello { client, read_only: self.flag(Name::ReadOnly)? })
    }
}

fn check_key(key: &str, limits: &Limits, path: impl Fn() -> String) -> Taken<()> {
    if key.is_empty() {
        let path = path();
        return Err(bad_field(&path, format!("{path} is empty: a key has at least one byte")));
    }
    if key.len() > limits.key_bytes {
        return Err(too_large("key", limits.key_bytes, key.len()));
    }
    Ok(())
}
