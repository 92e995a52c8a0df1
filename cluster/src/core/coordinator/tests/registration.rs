//! Registrations that come late, or whose connections end in another order than they began.

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
