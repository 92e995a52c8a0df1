//! Pages over all ranges: whole, in order, from whoever is there, and only with the lease.

use protocol::reply::Page;

use super::super::ScanOp;
use super::*;

impl World {
    fn scan(&mut self, prefix: &str, after: Option<&str>, limit: usize, values: bool) -> ClientId {
        let (prefix, after) = (prefix.into(), after.map(key));
        self.request(0, 9, ClientOp::Scan(ScanOp { prefix, after, limit, values }), 5_000)
    }

    fn page(&self, scan: ClientId) -> Page {
        let Some(Answer::Ok(tail)) = self.answer(scan) else {
            panic!("no page: {:?}", self.answer(scan))
        };
        let mut line = Vec::new();
        protocol::reply::write_reply(&mut line, None, true, tail);
        protocol::reply::decode_page(&line).expect("it reads back").expect("ok")
    }

    /// Puts keys `a00` to `a39`, deletes each fifth of them.
    fn filled() -> Self {
        let mut world = Self::founded();
        for n in 0..40 {
            let at = key(&format!("a{n:02}"));
            world.put(1, &at, &format!("v{n}"));
            if n % 5 == 0 {
                world.run();
                world.del(1, &at);
            }
        }
        world.put(1, &key("b"), "other");
        world.run();
        world
    }
}

fn names(page: &Page) -> Vec<&str> {
    page.items.iter().map(|item| item.key.as_str()).collect()
}

fn expected() -> Vec<String> {
    (0..40).filter(|n| n % 5 > 0).map(|n| format!("a{n:02}")).collect()
}

#[test]
fn a_scan_merges_the_ranges_in_order_and_goes_on_where_it_ended() {
    let mut world = World::filled();
    for limit in [1, 7, 32, 1000] {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        for round in 0.. {
            assert!(round < 40, "it goes round in circles");
            let scan = world.scan("a", after.as_deref(), limit, true);
            world.run();
            let page = world.page(scan);
            assert!(page.items.len() <= limit);
            for item in &page.items {
                let value = format!("v{}", item.key.as_str()[1..].parse::<u32>().expect("digits"));
                assert_eq!(item.value.as_ref().map(Value::as_bytes), Some(value.as_bytes()));
                assert_eq!(item.bytes, value.len() as u64);
            }
            all.extend(names(&page).into_iter().map(ToOwned::to_owned));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(all, expected(), "{limit}");
    }
    let scan = world.scan("", Some("a38"), 100, false);
    world.run();
    let page = world.page(scan);
    assert_eq!(names(&page), ["a39", "b"]);
    assert!(page.next.is_none() && page.items.iter().all(|item| item.value.is_none()));
    let scan = world.scan("c", None, 100, false);
    world.run();
    assert!(world.page(scan).items.is_empty());
}

#[test]
fn a_scan_goes_on_elsewhere_when_a_node_is_lost_and_waits_when_nobody_is_left() {
    for lost in 0..3 {
        let mut world = World::filled();
        world.advance(1_000);
        world.stuck.insert(lost);
        let scan = world.scan("a", None, 1000, false);
        world.run();
        assert!(world.answer(scan).is_none());
        world.crash(lost);
        world.run();
        assert_eq!(names(&world.page(scan)), expected(), "two copies of all are left");
        let other = (lost + 1) % 3;
        world.crash(other);
        world.run();
        let scan = world.scan("a", None, 1000, false);
        world.run();
        assert!(world.answer(scan).is_none(), "a range has nobody");
        world.advance(5_000);
        assert_eq!(code(world.answer(scan)), Some(ErrorCode::Unavailable));
        world.restart(lost);
        world.restart(other);
        world.stuck.clear();
        let scan = world.scan("a", None, 1000, false);
        world.advance(2_000);
        assert_eq!(names(&world.page(scan)), expected());
    }
}

#[test]
fn r11_a_scan_is_told_only_with_the_lease() {
    let mut world = World::filled();
    world.mute.extend(0..3);
    world.silent.extend(0..3);
    world.advance(1_000);
    let scan = world.scan("a", None, 1000, false);
    world.advance(1_500);
    world.mute.clear();
    world.stuck.extend(0..3);
    world.run();
    assert!(world.answer(scan).is_none());
    world.stuck.clear();
    world.silent.clear();
    world.advance(1_000);
    assert_eq!(names(&world.page(scan)), expected());
}

#[test]
fn r6_a_scan_waits_for_the_fate_of_what_an_earlier_epoch_left_open() {
    let (mut world, at) = left_open([Had::Prepared, Had::Away]);
    world.advance(100);
    let op = |prefix: &str| {
        ClientOp::Scan(ScanOp { prefix: prefix.into(), after: None, limit: 9, values: true })
    };
    let scan = world.request(1, 9, op(""), 5_000);
    let apart = world.request(1, 9, op("no key begins so"), 5_000);
    world.run();
    assert!(world.answer(scan).is_none());
    assert!(is_ok(world.answer(apart)));
    world.restart(1);
    world.advance(1_000);
    let seen = text(world.answer(scan));
    assert!(seen.contains(at.as_str()) && seen.contains("\"v1\""), "it never came there: {seen}");
}
