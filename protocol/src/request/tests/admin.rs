//! What an `admin` must look like.

use super::*;

/// Any change of the cluster.
pub(super) fn any(n: &mut Numbers) -> Admin<'static> {
    let text = |n: &mut Numbers| Cow::from(n.text(9));
    let action = match n.below(8) {
        0 => AdminAction::Evict { node: text(n) },
        1 => AdminAction::Remove { node: text(n) },
        2 => AdminAction::Add,
        3 => AdminAction::Rebalance,
        4 => AdminAction::Repair,
        5 => AdminAction::Scrub,
        6 => AdminAction::Cancel { change: text(n) },
        _ => AdminAction::Set {
            setting: Setting::ALL[n.below(2)],
            value: 1 + n.below(1 << 20) as u64,
        },
    };
    let ring = |n: &mut Numbers| crate::ids::RingNumber {
        epoch: crate::ids::Epoch(n.below(1 << 20) as u32),
        counter: n.below(9) as u32,
    };
    Admin { action, dry_run: n.below(2) == 0, if_ring_epoch: (n.below(2) == 0).then(|| ring(n)) }
}

#[test]
fn admin_is_read_strictly() {
    let right = parsed(r#"{"op":"admin","action":"evict","node":"n3","if_ring_epoch":"3.1"}"#);
    let Op::Admin(admin) = right.op else { panic!("{right:?}") };
    assert_eq!(admin.if_ring_epoch.map(|ring| (ring.epoch.0, ring.counter)), Some((3, 1)));
    for (fields, field) in [
        (r#""action":"kill","proc":"n3""#, "proc"),
        (r#""action":"kill""#, "action"),
        (r#""action":"evict""#, "node"),
        (r#""action":"evict","node":3"#, "node"),
        (r#""action":"evict","node":"n3","change":"c1""#, "change"),
        (r#""action":"add","node":"n3""#, "node"),
        (r#""action":"add","node":"n3","node":"n3""#, "node"),
        (r#""action":"add","dry_run":1"#, "dry_run"),
        (r#""action":"add","if_ring_epoch":"3""#, "if_ring_epoch"),
        (r#""action":"add","if_ring_epoch":"+3.1""#, "if_ring_epoch"),
        (r#""action":"set","name":"evict_after_ms""#, "value"),
        (r#""action":"set","name":"evict_after_ms","value":"1""#, "value"),
        (r#""action":"set","value":1"#, "name"),
        (r#""action":"set","name":"colour","value":1"#, "name"),
        (r#""action":"set","name":"copy_bytes_per_s","value":0"#, "value"),
        (r#""action":"dance""#, "action"),
        (r#""node":"n3""#, "action"),
    ] {
        let line = format!("{{\"op\":\"admin\",{fields}}}");
        let rejected = parse(line.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(rejected.error.field.as_deref(), Some(field), "{line}");
    }
}
