//! Everything that begins with the run's prefix: laid out before the run, read back behind it and
//! removed. Used by `driver`, when no shopper is at work.

use std::collections::BTreeMap;
use std::error::Error;

use protocol::ids::Key;

use super::goods::{Cart, encode, encode_stock};
use super::ledger::Held;
use super::patience::{Failed, Store};
use super::shopper::Shop;

/// Keys that are laid out or removed at once.
const KEYS_AT_ONCE: usize = 100;

/// Whether there is nothing yet that begins with the prefix.
pub(crate) async fn is_unused(shop: &Shop) -> Result<bool, Box<dyn Error>> {
    let mut scan = shop.store.client.scan(&shop.keys.prefix).limit(1);
    Ok(scan.next().await?.is_none_or(|page| page.items.is_empty()))
}

/// Empty carts, and `pieces` of each article.
pub(crate) async fn lay_out(
    shop: &Shop,
    carts: u32,
    articles: u32,
    pieces: u64,
) -> Result<(), Box<dyn Error>> {
    let (empty, full) = (encode(&Cart::default()), encode_stock(pieces));
    let mut all: Vec<(Key, &[u8])> = Vec::new();
    for cart in 0..carts {
        all.push((shop.keys.cart(cart)?, &empty));
    }
    for article in 0..articles {
        let key = shop.keys.stock(article)?;
        shop.ledger.borrow_mut().stocked(article, key.as_str(), pieces);
        all.push((key, &full));
    }
    for some in all.chunks(KEYS_AT_ONCE) {
        let mut txn = shop.store.client.txn();
        for (key, value) in some {
            txn = txn.if_absent(key).put(key, value);
        }
        let version = txn.commit().await?;
        for (key, value) in some {
            let first = Held { version, value: value.to_vec() };
            shop.ledger.borrow_mut().created(key.as_str(), first);
        }
    }
    Ok(())
}

/// All that is there now.
pub(crate) async fn read_back(
    store: &Store,
    prefix: &str,
) -> Result<BTreeMap<String, Held>, String> {
    let mut found = BTreeMap::new();
    let mut scan = store.client.scan(prefix).limit(1000).with_values();
    loop {
        let page = match store.read(async || scan.next().await).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(found),
            Err(Failed::Wrong(what)) => return Err(what),
            Err(_) => return Err("reads are refused: is a node down for good?".to_owned()),
        };
        for item in page.items {
            let value = item.value.map(|value| value.as_bytes().to_vec()).unwrap_or_default();
            found.insert(item.key.as_str().to_owned(), Held { version: item.version, value });
        }
    }
}

/// Removes it all.
pub(crate) async fn remove_all(
    shop: &Shop,
    found: &BTreeMap<String, Held>,
) -> Result<(), Box<dyn Error>> {
    let keys: Vec<Key> = found.keys().map(|key| Key::new(key)).collect::<Result<_, _>>()?;
    for some in keys.chunks(KEYS_AT_ONCE) {
        let txn = some.iter().fold(shop.store.client.txn(), |txn, key| txn.del(key));
        txn.commit().await?;
    }
    Ok(())
}
