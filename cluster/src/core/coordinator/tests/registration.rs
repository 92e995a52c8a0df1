//! Registrations: those that are refused, those that come late, and those whose connections end in
//! another order than they began.

use protocol::peer::Greeting;

use super::*;

/// A node's first registration was held up. It has given up that connection and registered anew, and
/// only then the first one arrives, and ends. The node's open connection counts.
#[test]
fn an_older_connection_takes_no_newer_ones_place() {
    let mut world = World::blank();
    let side = world.start_alone(config(100));
    let register = Box::new(world.registration(0));
    for conn in [RegistrationId(8), RegistrationId(7)] {
        world.tell(side, Input::Register { conn, register: register.clone() });
    }
    world.tell(side, Input::Unregistered(RegistrationId(7)));
    world.last_registration = 8;
    for node in 1..3 {
        world.register(side, node);
    }
    world.run();
    world.advance(20);
    assert!(world.sides[side].active);
    assert!(world.sides[side].refusals.is_empty());
}

/// A ring of the three nodes, as a record.
fn record() -> RingRecord {
    let member = |id: u16| RingMember {
        id: MemberId(id),
        uuid: Uuid(u128::from(id) + 1),
        name: NodeName::new(&format!("n{}", id + 1)).expect("a short name"),
        points: vec![Point(u64::from(id) << 40)],
    };
    RingRecord {
        number: RingNumber { epoch: Epoch(1), counter: 0 },
        cluster: Uuid(7_100),
        replicas: 2,
        tokens: 1,
        placement: Placement::Ring,
        members: (0..3).map(member).collect(),
        learning: Vec::new(),
        outgoing: None,
        changes: OpenChanges::default(),
        incoming: None,
        departed: Vec::new(),
    }
}

#[test]
fn a_registration_with_a_record_that_is_no_ring_is_refused() {
    let spoil: [fn(&mut RingRecord); 6] = [
        |ring| ring.members.clear(),
        |ring| ring.replicas = 0,
        |ring| ring.members[1].points = ring.members[0].points.clone(),
        |ring| ring.members.iter_mut().for_each(|member| member.points.clear()),
        |ring| ring.members[2].uuid = ring.members[1].uuid,
        |ring| ring.number.epoch = Epoch(u32::MAX),
    ];
    for spoil in spoil {
        let mut world = World::blank();
        world.start_alone(config(100));
        let mut ring = record();
        spoil(&mut ring);
        let register = Register { ring: Some(ring), ..world.registration(0) };
        world.register_as(0, register);
        assert_eq!(world.sides[0].refusals.len(), 1);
        for node in 0..3 {
            world.register(0, node);
        }
        world.run();
        world.advance(20);
        assert!(world.sides[0].active, "the stranger has changed nothing");
    }
}

#[test]
fn a_member_is_not_turned_away_because_strangers_came_first() {
    let mut world = World::founded();
    world.kill(0);
    let side = world.start_alone(config(101));
    // One of another name, and one from a directory that was made anew under a member's.
    for (name, uuid, port) in [("n9", 99, 9_001), ("n1", 98, 9_002)] {
        let name = NodeName::new(name).expect("a short name");
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let uuid = Uuid(uuid);
        let register = Register { name, uuid, addr, ring: None, ..world.registration(0) };
        world.register_as(side, register);
    }
    let wiped = RegistrationId(world.last_registration);
    // The member of that name comes when the ring is known already.
    for node in [1, 2, 0] {
        world.register(side, node);
        world.run();
    }
    assert_eq!(world.sides[side].refusals, Vec::<String>::new());
    world.advance(3_000);
    assert!(world.sides[side].active);
    // Now it is known whose name it is, and the other one is to hear of it; `n9` may wait.
    assert_eq!(world.sides[side].over, [wiped]);
}

/// H47: one address an incarnation, and none that is over.
#[test]
fn registrations_that_cannot_be_are_refused_with_a_reason() {
    let mut world = World::founded();
    let good = world.registration(0);
    let mut ring = good.ring.clone().expect("founded");
    ring.cluster = Uuid(1);
    let foreign = Greeting::new(Some(Uuid(1)));
    let speaks = |oldest, newest| Greeting {
        protocol: newest,
        protocol_min: Some(oldest),
        ..good.greeting.clone()
    };
    let elsewhere = SocketAddr::from(([127, 0, 0, 1], 4_001));
    let name = NodeName::new("n7").expect("a short name");
    let refused = [
        (Register { greeting: speaks(9, 12), ..good.clone() }, "upgrade the coordinator"),
        (Register { greeting: speaks(0, 1), ..good.clone() }, "upgrade the node"),
        (Register { greeting: foreign.clone(), ring: None, ..good.clone() }, "belongs to cluster"),
        (Register { greeting: foreign, ring: Some(ring.clone()), ..good.clone() }, "belongs to"),
        (Register { ring: Some(ring), ..good.clone() }, "cannot be"),
        (Register { uuid: Uuid(9), ring: None, ..good.clone() }, "n1 is a member with another"),
        (Register { uuid: Uuid(9), name, ..good.clone() }, "n7 is no member of it"),
        (Register { addr: elsewhere, ..good.clone() }, "copy of its directory"),
        (Register { incarnation: Incarnation(0), ..good.clone() }, "copy of its directory"),
    ];
    for (register, reason) in refused {
        world.sides[0].refusals.clear();
        world.register_as(0, register);
        let said = world.sides[0].refusals.join(" ");
        assert!(said.contains(reason), "{said:?} does not say {reason:?}");
    }
    world.advance(100);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
    // Before there are members, a name belongs to the store that came first.
    let mut world = World::blank();
    world.start_alone(config(100));
    let first = world.registration(0);
    world.register_as(0, first.clone());
    let conn = RegistrationId(world.last_registration);
    let other = Register { uuid: Uuid(9), addr: elsewhere, ..first };
    world.register_as(0, other.clone());
    // And as long as it is there: its disk may have been wiped since.
    world.tell(0, Input::Unregistered(conn));
    world.register_as(0, other);
    let said = "another store registered under the name n1";
    assert_eq!(world.sides[0].refusals, [said.to_owned(), format!("{said} (for now)")]);
}

/// Contract: "every session between servers begins with protocol range, cluster uuid and binary
/// version"
#[test]
fn a_coordinator_says_who_it_is_at_registration_and_on_each_link() {
    let mut world = World::blank();
    world.start_alone(config(100));
    for node in 0..3 {
        world.register(0, node);
    }
    world.run();
    // Three welcomes and three links, before there is a cluster.
    let greetings = std::mem::take(&mut world.sides[0].greetings);
    assert_eq!(greetings, vec![Greeting::new(None); 6]);
    world.advance(100);
    let cluster = world.registration(0).ring.expect("founded").cluster;
    world.crash(0);
    world.restart(0);
    let expected = Greeting::new(Some(cluster));
    assert!(expected.protocol_min.is_some() && !expected.version.is_empty());
    assert_eq!(world.sides[0].greetings, vec![expected; 2]);
}
