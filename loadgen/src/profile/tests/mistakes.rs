//! Each mistake that a profile can have, and what is said of it.

use super::*;

#[test]
fn a_file_that_is_not_there() {
    let error = Profile::read(Path::new("/no/such/profile.toml")).unwrap_err().to_string();
    assert_eq!(error, "/no/such/profile.toml: cannot be read; name a TOML file that this user may read");
}

#[test]
fn no_toml() {
    let error = parse("name = \"x\"\nurl = \n").unwrap_err().to_string();
    assert!(error.starts_with("p.toml, line 2: no TOML: "), "{error}");
}

#[test]
fn unknown_keys_name_the_nearest() {
    let cases = [
        ("[publish]\nurl", "[publish]\nulr", "line 8: publish.ulr", "publish.url"),
        ("[data]\nid", "[date]\nid", "line 12: date.id", "data.id"),
        (
            "[subscribe]",
            "last_event_id = \"none\"\n[subscribe]",
            "line 4: last_event_id",
            "subscribe.last_event_id",
        ),
        ("[subscribe]", "[subscribe]\nheader = {}", "line 5: subscribe.header", "subscribe.headers"),
    ];
    for (old, new, place, nearest) in cases {
        let expected = format!("p.toml, {place}: is no key of a profile; did you mean {nearest}?");
        assert_eq!(mistake(old, new), expected);
    }
}

#[test]
fn missing_keys_come_with_an_example() {
    let cases = [
        ("name = \"nchan\"", "", "line 1: name: is missing; write for example name = \"nchan\""),
        (
            "url = \"{target}/sub/{channel}\"",
            "",
            "line 4: subscribe.url: is missing; write for example \
             url = \"{target}/sub/{channel}\" below [subscribe]",
        ),
        (
            "url = \"{target}/pub/{channel}\"",
            "",
            "line 7: publish.url: is missing; write for example \
             url = \"{target}/pub/{channel}\" below [publish]",
        ),
        ("id = \"/id\"", "", "line 11: data.id: is missing; write for example id = \"/id\" below [data]"),
        (
            "sent_us = \"/sent_us\"",
            "",
            "line 11: data.sent_us: is missing; write for example sent_us = \"/sent_us\" below [data]",
        ),
    ];
    for (old, new, expected) in cases {
        assert_eq!(mistake(old, new), format!("p.toml, {expected}"));
    }
}

#[test]
fn values_of_another_type() {
    let cases = [
        ("name = \"nchan\"", "name = 7", "name: must be a string, in quotes"),
        ("[subscribe]\nurl = \"{target}/sub/{channel}\"", "subscribe = 1", "subscribe: must be a section"),
        ("[data]", "headers = 1\n[data]", "publish.headers: must be a table of names and strings"),
        ("[data]", "form = {a = 1}\n[data]", "publish.form.a: must be a string, in quotes"),
    ];
    for (old, new, expected) in cases {
        let text =
            with(old, new).replacen("body = '{{", "method = 'POST' #", usize::from(new.starts_with("form")));
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn values_that_a_key_does_not_take() {
    let cases = [
        (
            "[publish]",
            "last_event_id = \"cookie\"\n[publish]",
            "subscribe.last_event_id: \"cookie\" is not known; it takes \"header\", \"none\" or",
        ),
        (
            "[publish]",
            "last_event_id = \"query:\"\n[publish]",
            "subscribe.last_event_id: \"query:\" is not known",
        ),
        ("[data]", "method = \"post\"\n[data]", "publish.method: \"post\" is not known; it takes \"POST\""),
        (
            "[data]",
            "[connection]\nready = \"open\"\n[data]",
            "connection.ready: \"open\" is not known; it takes \"head\" or \"first_event\"",
        ),
        ("[data]", "status = [200, 99]\n[data]", "publish.status: 99 is no status"),
        ("[data]", "status = [600]\n[data]", "publish.status: 600 is no status"),
        ("[data]", "status = []\n[data]", "publish.status: an empty list is no status"),
        ("[data]", "status = 200\n[data]", "publish.status: this is no status"),
        ("[data]", "status = [\"200\"]\n[data]", "publish.status: an item is no status"),
        ("[data]", "form = {a = \"1\"}\n[data]", "publish.body: stands beside publish.form; keep one"),
    ];
    for (old, new, expected) in cases {
        let error = mistake(old, new);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn placeholders() {
    let cases = [
        (
            "/sub/{channel}",
            "/sub/{chanel}",
            "subscribe.url: {chanel} is no placeholder; did you mean {channel}?",
        ),
        ("/sub/{channel}", "/sub/{env}", "subscribe.url: {env} is no placeholder; did you mean"),
        ("/sub/{channel}", "/sub/{id}", "subscribe.url: {id} belongs to a message"),
        ("/sub/{channel}", "/sub/{channel", "subscribe.url: has a single `{`; a brace that is meant"),
        ("/sub/{channel}", "/sub/channel}", "subscribe.url: has a single `}`; a brace that is meant"),
        ("'{{\"id\"", "'{\"id\"", "publish.body: has a single `{`"),
        ("/sub/{channel}", "/sub/{env:NO}", "{env:NO}: the environment has no NO; set it before"),
        ("\"{id}\"", "\"1\"", "publish: no part of the request has {id}; without it"),
        ("{sent_us}", "1", "publish: no part of the request has {sent_us}; without it"),
    ];
    for (old, new, expected) in cases {
        let error = mistake(old, new);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn urls() {
    let cases = [
        ("{target}/sub", "http://h/sub", "subscribe.url: must begin with {target}/, as in"),
        ("{target}/sub", "{target}sub", "subscribe.url: must begin with {target}/, as in"),
        (
            "/sub/",
            "/s ub/",
            "subscribe.url: ' ' cannot stand in a URL; percent-encode it, or let the query be written by [subscribe.query]",
        ),
        ("/pub/", "/püb/", "publish.url: 'ü' cannot stand in a URL"),
        ("/pub/", "/pub#", "publish.url: '#' cannot stand in a URL"),
        ("/pub/", "/pub?a={{", "publish.url: '{' cannot stand in a URL"),
    ];
    for (old, new, expected) in cases {
        let error = mistake(old, new);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn headers() {
    let cases = [
        ("\"X Key\" = \"1\"", "publish.headers.X Key: is no name of a header"),
        ("X-Key = \"a\\nb\"", "publish.headers.X-Key: cannot stand in a header"),
        ("X-Key = \"\\u0001{id}\"", "publish.headers.X-Key: cannot stand in a header"),
        ("Host = \"h\"", "publish.headers.Host: is set by the load generator; remove it"),
        ("content-length = \"1\"", "publish.headers.content-length: is set by the load generator"),
    ];
    for (line, expected) in cases {
        let error = mistake("[data]", &format!("[publish.headers]\n{line}\n[data]"));
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn json() {
    for (old, new) in [("\"{text}\"", "{text}"), ("\"{id}\"", "{id}"), (":{sent_us}", ":"), ("}}'", "'")] {
        let error = mistake(old, new);
        assert!(error.contains("publish.body: is no JSON with the placeholders filled in ("), "{error}");
        assert!(
            error.ends_with(
                "put quotes around every placeholder but {sent_us}, and write {{ and }} for braces"
            )
        );
    }
    let error = mistake("[publish]", "[subscribe.query]\nq = '{{\"a\":{account}}}'\n[publish]");
    assert!(error.contains("line 8: subscribe.query.q: is no JSON"), "{error}");
}

#[test]
fn pointers() {
    let cases = [
        ("\"/id\"", "\"id\"", "data.id: \"id\" is no JSON pointer: it does not begin with /; write"),
        ("\"/id\"", "\"\"", "data.id: \"\" is no JSON pointer: it names the whole data"),
        ("\"/sent_us\"", "\"/a~2\"", "data.sent_us: \"/a~2\" is no JSON pointer: after ~ comes 0"),
        ("\"/sent_us\"", "\"/a~\"", "data.sent_us: \"/a~\" is no JSON pointer: after ~ comes 0"),
        ("\"/sent_us\"", "\"/id\"", "data.sent_us: leads to the same value as data.id, or into it"),
        ("\"/sent_us\"", "\"/id/x\"", "data.sent_us: leads to the same value as data.id, or into it"),
    ];
    for (old, new, expected) in cases {
        let error = mistake(old, new);
        assert!(error.contains(expected), "{error}");
    }
}
