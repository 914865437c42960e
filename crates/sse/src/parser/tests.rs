use proptest::prelude::*;

use crate::reference::{Item, compare, parse, parse_pieces};
use crate::{EventTooLarge, Parser};

/// What the parser makes of these pieces, which are within its bound.
fn items(pieces: &[&[u8]]) -> Vec<Item> {
    let (stream, result) = parse_pieces(1 << 20, pieces);
    result.unwrap();
    stream.items
}

fn event(event: &str, data: &str, id: &str, has_id: bool) -> Item {
    Item::Event { event: event.into(), data: data.into(), last_event_id: id.into(), has_id }
}

#[test]
fn a_parser_is_small() {
    assert_eq!(size_of::<Parser>(), 48);
}

#[test]
fn the_examples_of_the_standard() {
    assert_eq!(
        items(&[b"data: YHOO\ndata: +2\ndata: 10\n\n"]),
        [event("message", "YHOO\n+2\n10", "", false)]
    );
    assert_eq!(
        items(&[
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
        ]),
        [
            Item::Comment(" test stream".into()),
            event("message", "first event", "1", true),
            event("message", "second event", "", true),
            event("message", " third event", "", false),
        ]
    );
    assert_eq!(
        items(&[b"data\n\ndata\ndata\n\ndata:"]),
        [event("message", "", "", false), event("message", "\n", "", false)]
    );
    assert_eq!(
        items(&[b"data:test\n\ndata: test\n\n"]),
        [event("message", "test", "", false), event("message", "test", "", false)]
    );
}

#[test]
fn lines_end_with_cr_lf_or_both() {
    let expected = [event("a", "1\n2", "7", true)];
    for end in ["\n", "\r", "\r\n"] {
        let text = "id:7|event:a|data:1|data:2||".replace('|', end);
        assert_eq!(items(&[text.as_bytes()]), expected, "{end:?}");
    }
}

#[test]
fn an_event_is_there_when_the_cr_is_and_the_lf_after_it_is_no_second_end() {
    let one = event("message", "1", "", false);
    let two = event("message", "2", "", false);
    assert_eq!(items(&[b"data:1\r", b"\n", b"\n"]), std::slice::from_ref(&one));
    assert_eq!(items(&[b"data:1\r\n\r"]).len(), 1);
    assert_eq!(items(&[b"data:1\r\n\r", b"", b"\ndata:2\r\n\r\n"]), [one, two]);
}

#[test]
fn one_byte_order_mark_at_the_start_is_dropped() {
    assert_eq!(items(&[b"\xef\xbb", b"\xbfdata:1\n\n"]), [event("message", "1", "", false)]);
    assert_eq!(items(&[b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\n"]), []);
    assert_eq!(items(&[b"\n\xef\xbb\xbfdata:1\n\n"]), []);
}

#[test]
fn an_id_with_nul_is_ignored_and_an_empty_one_counts() {
    assert_eq!(
        items(&[b"id:1\ndata:a\n\nid:2\0\ndata:b\n\nid:\ndata:c\n\n"]),
        [
            event("message", "a", "1", true),
            event("message", "b", "1", false),
            event("message", "c", "", true)
        ]
    );
}

#[test]
fn an_id_counts_from_the_blank_line_on_also_without_data() {
    let mut parser = Parser::new(64);
    parser.feed(b"id:5\n", |item| panic!("{item:?}")).unwrap();
    assert_eq!(parser.last_event_id(), "");
    parser.feed(b"\n", |item| panic!("{item:?}")).unwrap();
    assert_eq!(parser.last_event_id(), "5");
    assert_eq!(items(&[b"id:5\n\ndata:x\n\n"]), [event("message", "x", "5", false)]);
}

#[test]
fn retry_takes_digits_only() {
    assert_eq!(
        items(&[b"retry: 3000\nretry:+1\nretry:1.5\nretry:  1\nretry\nretry:99999999999999999999\n"]),
        [Item::Retry(3000), Item::Retry(u64::MAX)]
    );
}

#[test]
fn what_is_no_utf_8_is_replaced() {
    assert_eq!(items(&[b"data:a\xff\xc3\n\n"]), [event("message", "a\u{fffd}\u{fffd}", "", false)]);
    assert_eq!(items(&[b"data:\xc3", b"\xbc\n\n"]), [event("message", "ü", "", false)]);
}

#[test]
fn a_line_without_an_end_says_nothing() {
    assert_eq!(items(&[b"retry:1"]), []);
    assert_eq!(items(&[b"data:1\n"]), []);
    assert_eq!(items(&[b":"]), []);
}

#[test]
fn an_event_beyond_the_bound_is_an_error_and_what_came_before_it_is_not() {
    const BYTES_MAX: usize = 16;
    let too_large = Err(EventTooLarge { event_bytes_max: BYTES_MAX });
    let (stream, result) = parse_pieces(BYTES_MAX, &[b"id:1\ndata:a\n\n", b"data:12345678901", b"2"]);
    assert_eq!(result, too_large);
    assert_eq!((stream.items.len(), &*stream.last_event_id), (1, "1"));
    for (text, expected) in [
        ("data:45678901234\n\n", Ok(())),
        ("data:456789012345\n\n", too_large),
        ("data:x\ndata:x\ndata:x\ndata:x\n", Ok(())),
        ("data:x\ndata:x\ndata:x\ndata:x\ndata:x\ndata:x\n\n", Ok(())),
        ("data:x\ndata:x\ndata:x\ndata:x\ndata:x\ndata:x\ndata:x\n", too_large),
        ("event:name\nid:12345678\ndata:\n", too_large),
        // What is not kept does not add up.
        (":234567890123456\n:234567890123456\nevent:78\nevent:7890\nother:7\nother:7\nid:4\n", Ok(())),
    ] {
        assert_eq!(parse_pieces(BYTES_MAX, &[text.as_bytes()]).1, expected, "{text:?}");
    }
}

#[test]
fn the_reference_reads_the_examples_too() {
    // The property compares with it: it must not be wrong in the same way.
    let stream = parse(b"\xef\xbb\xbf:c\rid: 1\r\nevent\nretry:7\ndata:a\r\rdata: b\rid:\0\r\n\n");
    assert_eq!(
        stream.items,
        [
            Item::Comment("c".into()),
            Item::Retry(7),
            event("message", "a", "1", true),
            event("message", "b", "1", false)
        ]
    );
    assert_eq!(stream.last_event_id, "1");
}

/// Bytes that look like a stream, sometimes with a broken character.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        8 => "data|id|event|retry|[:a\r\n \0]|ü|\u{feff}|[0-9]{1,3}|\n\n|\r\n".prop_map(String::into_bytes),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let start = prop_oneof![Just(vec![]), Just(b"\xef\xbb\xbf".to_vec())];
    (start, prop::collection::vec(token, 0..60)).prop_map(|(start, tokens)| [start, tokens.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn however_a_stream_is_cut_it_says_what_the_reference_reads(
        bytes in streams(),
        sizes in prop::collection::vec(0u8..40, 0..8),
    ) {
        let count = b'0' + sizes.len() as u8;
        let sizes: Vec<u8> = sizes.iter().map(|size| b'0' + size).collect();
        compare(&[&[count][..], &sizes, &bytes].concat());
    }
}
