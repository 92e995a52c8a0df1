//! Carts, orders and stock as they lie in the store: their keys and values; pure.
//!
//! Used by `shopper`, which changes them, and by `ledger`, which adds them up. A value is JSON, and
//! the same content is always the same bytes.

use std::collections::BTreeMap;

use protocol::ids::{InvalidId, Key};
use serde::{Deserialize, Serialize};

/// Articles in a cart, at most: with the cart and the order well below what one txn may write.
pub(crate) const LINES_MAX: usize = 8;
/// Pieces of an article in a cart, at most.
pub(crate) const PIECES_MAX: u32 = 9;

/// Pieces by article.
pub(crate) type Lines = BTreeMap<u32, u32>;

/// What a cart's key holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cart {
    /// What is in it.
    pub(crate) lines: Lines,
}

/// What an order's key holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// Who has bought.
    pub(crate) shopper: u32,
    /// Out of which cart.
    pub(crate) cart: u32,
    /// What.
    pub(crate) lines: Lines,
}

impl Cart {
    /// With so many pieces more, as far as there is room; false: there is none.
    pub(crate) fn take(&mut self, article: u32, pieces: u32) -> bool {
        if !self.lines.contains_key(&article) && self.lines.len() >= LINES_MAX {
            return false;
        }
        let line = self.lines.entry(article).or_default();
        let before = *line;
        *line = before.saturating_add(pieces).min(PIECES_MAX);
        *line > before
    }

    /// Without the article on this line, counted around; false: there is none.
    pub(crate) fn put_back(&mut self, line: u32) -> bool {
        let count = self.lines.len().max(1);
        let article = self.lines.keys().nth(line as usize % count).copied();
        article.is_some_and(|article| self.lines.remove(&article).is_some())
    }
}

/// The bytes of a cart or order.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    // Maps with numbers as keys, and numbers: nothing that JSON cannot say.
    serde_json::to_vec(value).unwrap_or_default()
}

/// The bytes of a stock.
pub(crate) fn encode_stock(pieces: u64) -> Vec<u8> {
    pieces.to_string().into_bytes()
}

/// A cart, order or stock, if the bytes are one.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// The keys of one run; all begin with its prefix.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// What they begin with.
    pub(crate) prefix: String,
}

impl Keys {
    /// The key of a cart.
    pub(crate) fn cart(&self, cart: u32) -> Result<Key, InvalidId> {
        Key::new(&format!("{}cart/{cart:04}", self.prefix))
    }

    /// The key of an article's stock.
    pub(crate) fn stock(&self, article: u32) -> Result<Key, InvalidId> {
        Key::new(&format!("{}stock/{article:04}", self.prefix))
    }

    /// The key of a shopper's order: its name, so that it cannot be there twice.
    pub(crate) fn order(&self, shopper: u32, number: u64) -> Result<Key, InvalidId> {
        Key::new(&format!("{}order/{shopper:04}-{number:06}", self.prefix))
    }

    /// Whether this is where orders are.
    pub(crate) fn is_order(&self, key: &str) -> bool {
        key.strip_prefix(&self.prefix).is_some_and(|rest| rest.starts_with("order/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cart_has_bounds() {
        let mut cart = Cart::default();
        assert!(!cart.put_back(3), "there is nothing in it");
        for article in 0..LINES_MAX as u32 {
            assert!(cart.take(article, 2));
        }
        assert!(!cart.take(99, 1), "no room for one article more");
        assert!(cart.take(3, 100), "but for more of the same");
        assert_eq!(cart.lines[&3], PIECES_MAX);
        assert!(!cart.take(3, 1), "nor for more than so many pieces");
        assert!(cart.put_back(LINES_MAX as u32 + 3), "counted around");
        assert!(!cart.lines.contains_key(&3));
    }

    #[test]
    fn values_are_what_they_were() {
        let mut cart = Cart::default();
        assert!(cart.take(12, 2) && cart.take(3, 1));
        let bytes = encode(&cart);
        assert_eq!(bytes, br#"{"lines":{"3":1,"12":2}}"#);
        assert_eq!(decode(&bytes), Some(cart.clone()));
        let order = Order { shopper: 1, cart: 2, lines: cart.lines };
        assert_eq!(decode(&encode(&order)), Some(order));
        assert_eq!(decode(&encode_stock(77)), Some(77_u64));
        for foreign in ["", "{}", r#"{"lines":{"a":1}}"#, r#"{"lines":{},"more":1}"#] {
            assert_eq!(decode::<Cart>(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn keys_say_what_they_are() {
        let keys = Keys { prefix: "run/".to_owned() };
        let order = keys.order(3, 14).expect("a key");
        assert_eq!(order.as_str(), "run/order/0003-000014");
        assert!(keys.is_order(order.as_str()));
        assert!(!keys.is_order(keys.cart(3).expect("a key").as_str()));
        assert!(!keys.is_order("order/0003-000014"));
    }
}
