//! How a node's session with the coordinator begins, by raw bytes at the registration port: on a
//! cluster of one's own.

use serde_json::{Value, json};

use super::malformed::ports;
use super::talk::Talk;
use super::{Site, checks};

checks! {
    791 a_node_begins_with_what_it_speaks
        "every session between servers begins with protocol range, cluster uuid and binary version"
}

fn a_node_begins_with_what_it_speaks(site: &Site) {
    let Some(port) = ports(site).into_iter().find(|port| port.name == "peer") else {
        println!("    SKIPPED: only a cluster of its own is known to have a port for nodes here");
        return;
    };
    let status = site.status();
    let (cluster, member) = (&status["cluster"]["uuid"], &status["nodes"][0]["name"]);
    let refused = |changes: Value| {
        let mut register = json!({
            "protocol": 2, "protocol_min": 2, "version": "0.0.7", "cluster": cluster,
            "name": member, "uuid": "0000000000000000000000000000000a", "incarnation": 1,
            "addr": "127.0.0.1:1", "pid": 1, "supervisor": null, "durable": true, "fence": 0,
            "ring": null
        });
        for (name, value) in changes.as_object().expect("fields") {
            register[name] = value.clone();
        }
        let mut talk = Talk::open(port.addr);
        talk.send(format!("{register}\n"));
        let answer: Value = serde_json::from_str(&talk.line()).expect("JSON");
        talk.closes();
        answer["refused"]["reason"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    // Whom it understands it judges as a node: this one bears the name of another.
    for range in [json!({}), json!({"protocol": 99}), json!({"protocol_min": null})] {
        let told = refused(range.clone());
        assert!(told.contains("is a member with another directory"), "{range}: {told}");
    }
    for (range, older) in [
        (json!({"protocol": 99, "protocol_min": 90}), "upgrade the coordinator"),
        (json!({"protocol": 1, "protocol_min": 0}), "upgrade the node"),
        (json!({"protocol": 1, "protocol_min": null}), "upgrade the node"),
    ] {
        let told = refused(range.clone());
        assert!(told.contains("piazza 0.0.7") && told.ends_with(older), "{range}: {told}");
    }
    let told = refused(json!({"cluster": "0000000000000000000000000000000c"}));
    assert!(told.contains("belongs to cluster"), "{told}");
}
