//! Each way in which a run may not add up is found, and a right one is not complained of.

use super::super::goods::{encode, encode_stock};
use super::*;

fn version(number: u64) -> Version {
    Version::from_number(number)
}

fn held(number: u64, value: &[u8]) -> Held {
    Held { version: version(number), value: value.to_vec() }
}

/// One cart, one article of which 10 were there and 3 are sold; and what the store holds then.
fn shop() -> (Ledger, BTreeMap<String, Held>) {
    let mut ledger = Ledger::new(Keys { prefix: "p/".to_owned() });
    let order = Order { shopper: 0, cart: 0, lines: [(4, 3)].into() };
    ledger.created("p/cart/0000", held(1, b"{}"));
    ledger.created("p/stock/0004", held(2, &encode_stock(10)));
    ledger.stocked(4, "p/stock/0004", 10);
    // Told in another order than it happened.
    ledger.changed("p/cart/0000", version(3), held(4, b"empty"));
    ledger.changed("p/cart/0000", version(1), held(3, b"full"));
    ledger.changed("p/stock/0004", version(2), held(4, &encode_stock(7)));
    ledger.sold("p/order/0000-000000", held(4, &encode(&order)));
    let found = [
        ("p/cart/0000", held(4, b"empty")),
        ("p/order/0000-000000", held(4, &encode(&order))),
        ("p/stock/0004", held(4, &encode_stock(7))),
    ];
    (ledger, found.map(|(key, held)| (key.to_owned(), held)).into())
}

/// The keys at which something is wrong, after `change`.
fn wrong_after(change: impl Fn(&mut Ledger, &mut BTreeMap<String, Held>)) -> Vec<String> {
    let (mut ledger, mut found) = shop();
    change(&mut ledger, &mut found);
    ledger.compare(&found).1.into_iter().map(|difference| difference.key).collect()
}

#[test]
fn a_right_run_adds_up() {
    let (ledger, found) = shop();
    let (sums, differences) = ledger.compare(&found);
    assert_eq!(differences, []);
    assert_eq!(sums, Sums { initial: 10, left: 7, sold: 3 });
}

#[test]
fn what_is_lost_is_found() {
    for key in ["p/cart/0000", "p/order/0000-000000", "p/stock/0004"] {
        let wrong = wrong_after(|_, found| assert!(found.remove(key).is_some()));
        assert!(wrong.iter().any(|at| at == key), "{key}: {wrong:?}");
    }
}

#[test]
fn what_has_another_value_or_version_is_found() {
    for key in ["p/cart/0000", "p/order/0000-000000", "p/stock/0004"] {
        let value = wrong_after(|_, found| {
            found.get_mut(key).expect("it is there").value = b"8".to_vec();
        });
        assert!(value.iter().any(|at| at == key), "{key}: {value:?}");
        let newer = wrong_after(|_, found| {
            found.get_mut(key).expect("it is there").version = version(9);
        });
        assert_eq!(newer, [key]);
    }
}

#[test]
fn what_nobody_asked_for_is_found() {
    let order = Order { shopper: 7, cart: 0, lines: [(4, 1), (99, 1)].into() };
    let wrong = wrong_after(|_, found| {
        found.insert("p/order/0007-000000".to_owned(), held(5, &encode(&order)));
    });
    // Itself, the article that now is sold once more than it was there, and the one that is none.
    assert_eq!(wrong, ["p/order/0007-000000", "p/stock/0004", "p/"]);
    let stray = wrong_after(|_, found| {
        found.insert("p/stray".to_owned(), held(5, b""));
    });
    assert_eq!(stray, ["p/stray"]);
}

#[test]
fn a_value_slipped_in_between_is_found_though_it_was_overwritten() {
    let wrong = wrong_after(|ledger, found| {
        ledger.changed("p/cart/0000", version(5), held(6, b"more"));
        found.insert("p/cart/0000".to_owned(), held(6, b"more"));
    });
    assert_eq!(wrong, ["p/cart/0000"]);
}

#[test]
fn two_that_replaced_the_same_are_found() {
    for base in [1, 3, 8] {
        let wrong = wrong_after(|ledger, _| {
            ledger.changed("p/cart/0000", version(base), held(10, b"a"));
            ledger.changed("p/cart/0000", version(base), held(11, b"b"));
        });
        assert!(wrong.iter().any(|at| at == "p/cart/0000"), "{base}: {wrong:?}");
    }
}

#[test]
fn what_was_sold_twice_is_found() {
    let wrong = wrong_after(|ledger, found| {
        let order = found["p/order/0000-000000"].clone();
        ledger.sold("p/order/0000-000000", order);
    });
    assert_eq!(wrong, ["p/order/0000-000000"]);
    let stock = wrong_after(|_, found| {
        let again = found["p/order/0000-000000"].clone();
        found.insert("p/order/0000-000001".to_owned(), again);
    });
    assert_eq!(stock, ["p/order/0000-000001", "p/stock/0004"]);
}
