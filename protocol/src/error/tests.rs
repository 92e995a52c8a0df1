//! Codes and replies read back as they were written.

use super::*;
use crate::ids::Epoch;

#[test]
fn every_code_reads_back_and_unknown_ones_are_other() {
    for code in ErrorCode::ALL {
        let text = serde_json::to_string(code).unwrap();
        assert_eq!(text, format!("\"{code}\""));
        assert_eq!(serde_json::from_str::<ErrorCode>(&text).unwrap(), *code);
    }
    let newer: ErrorCode = serde_json::from_str("\"brand_new\"").unwrap();
    assert_eq!(newer, ErrorCode::Other);
}

/// Contract: "`internal` | `incident` | a bug"
/// Contract: "`not_leader` | `leader` or null"
#[test]
fn a_defect_names_its_incident_and_a_standby_its_leader() {
    let object = |error: &ErrorReply| serde_json::to_value(error).unwrap();
    let internal = object(&ErrorReply::internal("i-17"));
    assert_eq!((&internal["code"], &internal["incident"]), (&"internal".into(), &"i-17".into()));
    let nobody = object(&ErrorReply::not_leader(None));
    assert_eq!(nobody["code"], "not_leader");
    assert!(nobody.get("leader").is_some_and(serde_json::Value::is_null), "{nobody}");
    let somebody = object(&ErrorReply::not_leader(Some("127.0.0.1:1".into())));
    assert_eq!(somebody["leader"], "127.0.0.1:1");
}

#[test]
fn an_error_reply_reads_back_with_all_its_details() {
    let version = Version::new(Epoch(3), 17);
    for error in [
        ErrorReply::bad_field("key", "no"),
        ErrorReply::too_large("value", 10, 11),
        ErrorReply::line_too_long(10, 11),
        ErrorReply::reply_too_large(10, 11),
        ErrorReply::not_found(),
        ErrorReply::key_not_found("a"),
        ErrorReply::exists(version),
        ErrorReply::version_mismatch("a", Some(version)),
        ErrorReply::version_mismatch("a", None),
        ErrorReply::replica_down("n1"),
        ErrorReply::aborted("test"),
        ErrorReply::disk_full("n1"),
        ErrorReply::unknown_outcome(Some(version)),
        ErrorReply::unknown_outcome(None),
        ErrorReply::unavailable("recovering", Some("n2".into())),
        ErrorReply::unavailable("recovering", None),
        ErrorReply::not_leader(Some("a:1".into())),
        ErrorReply::not_leader(None),
        ErrorReply::overloaded("requests", 5),
        ErrorReply::timeout(5),
        ErrorReply::read_only("put"),
        ErrorReply::no_token(),
        ErrorReply::wrong_token(),
        ErrorReply::not_allowed("viewer", "put"),
        ErrorReply::internal("i7"),
    ] {
        let text = serde_json::to_string(&error).unwrap();
        let back: ErrorReply = serde_json::from_str(&text).unwrap();
        assert_eq!(back, error, "{text}");
    }
    let text = serde_json::to_string(&ErrorReply::not_leader(None)).unwrap();
    assert!(text.ends_with(r#","leader":null}"#), "{text}");
    let text = serde_json::to_string(&ErrorReply::unknown_outcome(Some(version))).unwrap();
    assert!(text.ends_with(r#","version":"3.17"}"#), "{text}");
}
