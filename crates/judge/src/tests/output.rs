//! What a history writes.

use super::*;

#[test]
fn a_history_is_written_as_a_line_for_each_record() {
    let story = Story::default();
    story.0.acknowledged(story.0.now(), said(1, "m1"));
    story.0.acknowledged_batch(story.0.now(), [said(2, "m2")]);
    let stream = story.0.opened("ann", "phone", Some("4-7-aaaa"));
    story.0.opened("bob", "tablet", None);
    story.0.event(
        stream,
        "message",
        "4-8-aaaa",
        &json!({"conversation_id": "c1", "seq": 1, "id": "id-m1",
        "sender": "ann", "client_id": "m1", "body": {"text": "not kept"}}),
    );
    story.0.event(stream, "reaction", "5-9-aaaa", &json!({"conversation_id": "c\"2", "seq": 3}));
    story.0.event(stream, "caught_up", "5-9-aaaa", &json!({}));
    story.0.event(stream, "ready", "", &json!({}));
    let dropped = json!({"reason": "dropped", "from": "5-10-aaaa", "to": "5-12-aaaa"});
    story.0.event(stream, "gap", "", &dropped);
    story.0.event(stream, "gap", "", &json!({"reason": "unknown", "held_from": "5-3-aaaa"}));
    story.0.event(stream, "caught_up", "nonsense", &json!({"head": 1}));

    let mut written = Vec::new();
    story.0.write(&mut written).unwrap();
    let m1 = r#""conversation":"c1","seq":1,"id":"id-m1","sender":"ann","client_id":"m1""#;
    let m2 = r#""conversation":"c1","seq":2,"id":"id-m2","sender":"ann","client_id":"m2""#;
    let lines = [
        format!(r#"{{"record":0,"kind":"acknowledged",{m1},"sent":0}}"#),
        format!(r#"{{"record":1,"kind":"acknowledged",{m2},"sent":1,"batch":1}}"#),
        r#"{"record":2,"kind":"opened","stream":0,"account":"ann","device":"phone","after":"4-7"}"#.into(),
        r#"{"record":3,"kind":"opened","stream":1,"account":"bob","device":"tablet"}"#.into(),
        format!(r#"{{"record":4,"kind":"message","stream":0,"at":"4-8",{m1}}}"#),
        r#"{"record":5,"kind":"change","stream":0,"at":"5-9","conversation":"c\"2","seq":3}"#.into(),
        r#"{"record":6,"kind":"mark","stream":0,"at":"5-9"}"#.into(),
        r#"{"record":7,"kind":"gap","stream":0,"from":"5-10","resumes_at":13}"#.into(),
        r#"{"record":8,"kind":"gap","stream":0,"resumes_at":3}"#.into(),
        r#"{"record":9,"kind":"malformed","stream":0,"event":"caught_up [nonsense] {\"head\":1}"}"#.into(),
    ];
    assert_eq!(String::from_utf8(written).unwrap(), lines.join("\n") + "\n");
}

#[test]
fn a_violation_prints_its_records_in_the_same_form() {
    let story = Story::of(1);
    let stream = story.open("ann", 0);
    story.event(stream, 2, 2, "m2");
    let violation = story.breaks(Rule::Skipped, 2);
    let mut written = Vec::new();
    story.0.write(&mut written).unwrap();
    let written = String::from_utf8(written).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    let expected = format!("Skipped: event number 1 should come and 2 came\n  {}\n  {}", lines[1], lines[2]);
    assert_eq!(violation.to_string(), expected);
}
