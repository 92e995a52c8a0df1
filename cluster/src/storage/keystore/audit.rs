//! What finds damaged records and copies that differ, and what mends the former.
//!
//! Called by `Keystore::audit`. Damage that is found is told and ends nothing: all other records
//! may still be served. Never replaces a record that is whole.

use protocol::ids::{Key, Value};
use protocol::peer::{Audit, Audited, CopyItem, Digest, RangeHash, Scrubbed, Span};

use super::paging::{Paging, behind};
use super::{Keystore, KeystoreError, Stored, codec};

/// A portion ends when it names so many damaged keys.
const DAMAGED_MAX: usize = 256;

pub(super) fn run<K: Keystore + ?Sized>(
    keystore: &mut K,
    what: &Audit,
    looks_max: usize,
) -> Result<Audited, KeystoreError> {
    match what {
        Audit::Hashes(spans) => Ok(hashes(keystore, spans)),
        Audit::Digests { span, after } => digests(keystore, *span, after.as_ref(), looks_max),
        Audit::Scrub { after } => scrub(keystore, after.as_ref(), looks_max),
        Audit::Copies(keys) => copies(keystore, keys),
        Audit::Mend(items) => mend(keystore, items),
    }
}

fn hashes<K: Keystore + ?Sized>(keystore: &K, spans: &[Span]) -> Audited {
    let hash = |span: &Span| {
        let count = keystore.counting().known().of_span(*span)?;
        Some(RangeHash { live: count.live, hash: count.hash })
    };
    Audited::Hashes(spans.iter().map(hash).collect())
}

fn digests<K: Keystore + ?Sized>(
    keystore: &K,
    span: Span,
    after: Option<&Key>,
    looks_max: usize,
) -> Result<Audited, KeystoreError> {
    let ranges = keystore.counting().known();
    let mut paging = Paging::step(looks_max);
    let mut items = Vec::new();
    keystore.walk(behind(after), &mut |key, stored| {
        let damaged = !stored.is_whole(&key);
        if ranges.lies_in(&key, span) && (damaged || stored.is_live()) {
            let (version, checksum) = (stored.version, stored.checksum);
            items.push(Digest { key: key.clone(), version, checksum, damaged });
        }
        paging.look(key, stored, false)
    })?;
    Ok(Audited::Digests { items, through: paging.page.through })
}

/// Reads a portion of all records, and counts them as they are. Where the store cannot be read on,
/// that is told, with the last key that could be, and what was counted before stays.
fn scrub<K: Keystore + ?Sized>(
    keystore: &mut K,
    after: Option<&Key>,
    looks_max: usize,
) -> Result<Audited, KeystoreError> {
    let mut paging = Paging::step(looks_max);
    let (mut damaged, mut keys, mut bytes) = (Vec::new(), 0, 0);
    let mut last = after.cloned();
    let mut counting = std::mem::take(keystore.counting_mut());
    let read = counting.scrub(after, |ranges| {
        keystore.walk(behind(after), &mut |key, stored| {
            keys += 1;
            bytes += stored.value.as_ref().map_or(0, Value::len) as u64;
            ranges.change(&key, None, Some(&stored))?;
            last = Some(key.clone());
            if !stored.is_whole(&key) {
                damaged.push(key.clone());
            }
            let more = paging.look(key.clone(), stored, false)?;
            if more && damaged.len() >= DAMAGED_MAX {
                paging.page.through = Some(key);
                return Ok(false);
            }
            Ok(more)
        })?;
        Ok(paging.page.through.clone())
    });
    *keystore.counting_mut() = counting;
    let unreadable = read.is_err();
    let through = if unreadable { last } else { paging.page.through };
    Ok(Audited::Scrubbed(Scrubbed { damaged, unreadable, keys, bytes, through }))
}

fn copies<K: Keystore + ?Sized>(keystore: &K, keys: &[Key]) -> Result<Audited, KeystoreError> {
    let mut items = Vec::new();
    for key in keys {
        match keystore.get(key) {
            Ok(stored) => items.extend(stored.map(|stored| stored.into_item(key.clone()))),
            Err(KeystoreError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Audited::Copies(items))
}

fn mend<K: Keystore + ?Sized>(
    keystore: &mut K,
    items: &[CopyItem],
) -> Result<Audited, KeystoreError> {
    let mut mended = Vec::new();
    for CopyItem { key, version, value, flags, expires_ms } in items {
        match keystore.get(key) {
            Ok(_) => continue,
            Err(KeystoreError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
        let (version, flags, expires_ms) = (*version, *flags, *expires_ms);
        let value = value.clone().map(|value| value.0);
        let checksum = codec::checksum(key, version, value.as_ref());
        keystore.replace(key, Stored { version, value, flags, expires_ms, checksum })?;
        mended.push(key.clone());
    }
    Ok(Audited::Mended(mended))
}
