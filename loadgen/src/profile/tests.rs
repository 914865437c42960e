use super::*;

mod mistakes;

const NCHAN: &str = r#"
name = "nchan"

[subscribe]
url = "{target}/sub/{channel}"

[publish]
url = "{target}/pub/{channel}"
body = '{{"id":"{id}","sent_us":{sent_us},"text":"{text}"}}'

[data]
id = "/id"
sent_us = "/sent_us"
"#;

/// Values of which each has characters that some place must encode.
const VALUES: Values<'_> = Values {
    target: "http://127.0.0.1:8080/",
    account: "anna lund",
    channel: "a/b?c=ä",
    id: "i\"1\\",
    sent_us: 1_700_000_000_000_001,
    text: "x&y=\"z\"\n{}",
    token: "t.o-k",
};

fn parse(text: &str) -> Result<Profile, Error> {
    let variable = |name: &str| (name == "KEY").then(|| "k\"e y".to_owned());
    Profile::parse(Path::new("p.toml"), text, &variable)
}

fn profile(text: &str) -> Profile {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The profile above with one piece of its text replaced.
fn with(old: &str, new: &str) -> String {
    assert!(NCHAN.contains(old), "{old}");
    NCHAN.replacen(old, new, 1)
}

/// What is said of a profile with a mistake in it.
fn mistake(old: &str, new: &str) -> String {
    parse(&with(old, new)).expect_err(new).to_string()
}

#[track_caller]
fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}

#[test]
fn a_stream_is_asked_for_with_its_values_encoded() {
    let request = profile(NCHAN).subscribe(&VALUES, None).unwrap();
    assert_eq!(request.method(), Method::GET);
    assert_eq!(request.uri().to_string(), "http://127.0.0.1:8080/sub/a%2Fb%3Fc%3D%C3%A4");
    assert_eq!(header(request.headers(), "accept"), "text/event-stream");
    assert_eq!(request.headers().len(), 1);
}

#[test]
fn a_message_is_posted_as_json_whatever_it_says() {
    let request = profile(NCHAN).publish(&VALUES).unwrap();
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri().path(), "/pub/a%2Fb%3Fc%3D%C3%A4");
    let body = std::str::from_utf8(request.body()).unwrap();
    let expected = r#"{"id":"i\"1\\","sent_us":1700000000000001,"text":"x&y=\"z\"\u000a{}"}"#;
    assert_eq!(body, expected);
    assert_eq!(header(request.headers(), "content-length"), expected.len().to_string());
    let read: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(read["text"], VALUES.text);
}

#[test]
fn what_was_posted_is_recognised() {
    let profile = profile(NCHAN);
    let request = profile.publish(&VALUES).unwrap();
    let seen = profile.message(std::str::from_utf8(request.body()).unwrap()).unwrap();
    assert_eq!(seen, Seen { id: Cow::Borrowed(VALUES.id), sent_us: VALUES.sent_us });
}

#[test]
fn a_query_is_written_after_what_the_url_has_of_one() {
    let query = "[subscribe.query]\ntopic = \"https://h/{channel}\"\n\"a b\" = '{{\"{account}\":[1]}}'\n\n";
    let text = with("[publish]", &format!("{query}[publish]"));
    let uri = profile(&text).subscribe(&VALUES, None).unwrap().uri().to_string();
    assert_eq!(
        uri,
        "http://127.0.0.1:8080/sub/a%2Fb%3Fc%3D%C3%A4?topic=https%3A%2F%2Fh%2Fa%2Fb%3Fc%3D%C3%A4\
         &a%20b=%7B%22anna%20lund%22%3A%5B1%5D%7D"
    );
    let text = text.replacen("/sub/{channel}", "/sub?c={channel}", 1);
    let uri = profile(&text).subscribe(&VALUES, None).unwrap().uri().to_string();
    assert!(uri.contains("/sub?c=a%2Fb%3Fc%3D%C3%A4&topic="), "{uri}");
}

#[test]
fn a_form_has_json_in_a_field() {
    let form =
        "[publish.form]\ntopic = \"{channel}\"\ndata = '{{\"id\":\"{id}\",\"t\":{sent_us}}}'\n\n[data]";
    let text = with("[data]", form).replacen(
        "body = '{{\"id\":\"{id}\",\"sent_us\":{sent_us},\"text\":\"{text}\"}}'\n",
        "",
        1,
    );
    let request = profile(&text).publish(&VALUES).unwrap();
    assert_eq!(header(request.headers(), "content-type"), "application/x-www-form-urlencoded");
    let body = std::str::from_utf8(request.body()).unwrap();
    assert_eq!(
        body,
        "topic=a%2Fb%3Fc%3D%C3%A4&\
         data=%7B%22id%22%3A%22i%5C%221%5C%5C%22%2C%22t%22%3A1700000000000001%7D"
    );
}

#[test]
fn a_body_is_encoded_by_its_content_type() {
    let body = |kind: &str, body: &str| {
        let text = with("[data]", &format!("[publish.headers]\nContent-Type = \"{kind}\"\n\n[data]"))
            .replacen("body = '{{\"id\":\"{id}\",\"sent_us\":{sent_us},\"text\":\"{text}\"}}'", body, 1);
        let request = profile(&text).publish(&VALUES).unwrap();
        assert_eq!(header(request.headers(), "content-type"), kind);
        String::from_utf8(request.body().to_vec()).unwrap()
    };
    let line = "body = '\"{id} {sent_us}\"'";
    assert_eq!(body("application/json; charset=utf-8", line), r#""i\"1\\ 1700000000000001""#);
    assert_eq!(body("application/vnd.x+json", line), r#""i\"1\\ 1700000000000001""#);
    assert_eq!(body("text/plain", line), r#""i"1\ 1700000000000001""#);
    let form = "body = 'a=1&b={id}&c={sent_us}'";
    assert_eq!(body("application/x-www-form-urlencoded", form), "a=1&b=i%221%5C&c=1700000000000001");
}

#[test]
fn headers_hold_values_as_they_are() {
    let headers = "[publish.headers]\nAuthorization = \"Bearer {token}\"\nX-Key = \"{env:KEY}\"\n\n[data]";
    let profile = profile(&with("[data]", headers));
    let request = profile.publish(&VALUES).unwrap();
    assert_eq!(header(request.headers(), "authorization"), "Bearer t.o-k");
    assert_eq!(header(request.headers(), "x-key"), "k\"e y");
    assert!(profile.needs_token());
    assert!(request.headers()["authorization"].is_sensitive());
    assert!(request.headers()["x-key"].is_sensitive());
    assert!(!format!("{profile:?}").contains("k\"e"), "{profile:?}");
}

#[test]
fn the_accept_header_can_be_another_one() {
    let text =
        with("[publish]", "[subscribe.headers]\naccept = \"text/event-stream, {account}\"\n\n[publish]");
    let request = profile(&text).subscribe(&Values { account: "x", ..VALUES }, None).unwrap();
    assert_eq!(header(request.headers(), "accept"), "text/event-stream, x");
    assert_eq!(request.headers().len(), 1);
}

#[test]
fn a_variable_is_encoded_as_a_value_is() {
    let text = with("/pub/{channel}", "/pub/{env:KEY}").replacen("{text}", "{env:KEY}", 1);
    let request = profile(&text).publish(&VALUES).unwrap();
    assert_eq!(request.uri().path(), "/pub/k%22e%20y");
    assert!(std::str::from_utf8(request.body()).unwrap().ends_with(r#""text":"k\"e y"}"#));
}

#[test]
fn a_stream_that_comes_back_says_what_it_saw() {
    let default = profile(NCHAN);
    assert!(default.resumes());
    let request = default.subscribe(&VALUES, Some("17:0")).unwrap();
    assert_eq!(header(request.headers(), "last-event-id"), "17:0");
    let by = |place: &str| {
        let profile = profile(&with("[publish]", &format!("last_event_id = \"{place}\"\n[publish]")));
        let request = profile.subscribe(&VALUES, Some("17 0")).unwrap();
        (profile.resumes(), request)
    };
    let (resumes, request) = by("query:last event");
    assert!(resumes && request.headers().get("last-event-id").is_none());
    assert_eq!(request.uri().query(), Some("last%20event=17%200"));
    let (resumes, request) = by("none");
    assert!(!resumes && request.headers().get("last-event-id").is_none() && request.uri().query().is_none());
}

#[test]
fn a_query_that_exists_gets_the_last_id_added() {
    let text = with("/sub/{channel}\"", "/sub?c={channel}\"\nlast_event_id = \"query:last\"");
    let request = profile(&text).subscribe(&VALUES, Some("7")).unwrap();
    assert_eq!(request.uri().query(), Some("c=a%2Fb%3Fc%3D%C3%A4&last=7"));
}

#[test]
fn any_success_is_accepted_unless_statuses_are_listed() {
    let any = profile(NCHAN);
    let accepted =
        |profile: &Profile| [200, 201, 299, 302, 404].map(|code| profile.accepts(code.try_into().unwrap()));
    assert_eq!(accepted(&any), [true, true, true, false, false]);
    let listed = profile(&with("[data]", "status = [201, 404]\n[data]"));
    assert_eq!(accepted(&listed), [false, true, false, false, true]);
}

#[test]
fn a_ready_stream_is_marked_by_its_head_or_an_event() {
    assert_eq!(profile(NCHAN).ready(), Ready::Head);
    let ready = |mark: &str| profile(&format!("{NCHAN}\n[connection]\nready = \"{mark}\"\n")).ready();
    assert_eq!(ready("head"), Ready::Head);
    assert_eq!(ready("first_event"), Ready::FirstEvent);
}

#[test]
fn values_that_no_request_can_hold_are_named_but_not_shown() {
    let profile = profile(&with("[data]", "[publish.headers]\nAuthorization = \"Bearer {token}\"\n\n[data]"));
    let error = profile.publish(&Values { token: "a\nb", ..VALUES }).unwrap_err().to_string();
    assert_eq!(error, "the value for the header authorization has a character in it that no header can hold");
    let error = profile.subscribe(&Values { target: "no target", ..VALUES }, None).unwrap_err().to_string();
    assert_eq!(error, "\"no target\" begins no URL; a target is written as http://127.0.0.1:8080");
}

mod messages {
    use super::*;

    fn pointers(id: &str, sent_us: &str) -> Profile {
        profile(&with("id = \"/id\"\nsent_us = \"/sent_us\"", &format!("id = '{id}'\nsent_us = '{sent_us}'")))
    }

    fn seen<'a>(profile: &Profile, data: &'a str) -> Option<(Cow<'a, str>, u64)> {
        profile.message(data).map(|seen| (seen.id, seen.sent_us))
    }

    #[test]
    fn an_envelope_is_opened() {
        let profile = pointers("/pub/data/id", "/pub/data/sent_us");
        let data = r#"{"channel":"c","pub":{"offset":3,"data":{"id":"m1","x":{"id":"no"},"sent_us":17}}}"#;
        assert_eq!(seen(&profile, data), Some(("m1".into(), 17)));
        for other in ["{}", r#"{"connect":{"client":"x","ping":25}}"#, r#"{"pub":{"data":null}}"#] {
            assert_eq!(seen(&profile, other), None, "{other}");
        }
    }

    #[test]
    fn an_id_without_escapes_is_borrowed() {
        let profile = profile(NCHAN);
        let borrowed = profile.message(r#"{"id":"m1","sent_us":1}"#).unwrap().id;
        assert!(matches!(borrowed, Cow::Borrowed("m1")), "{borrowed:?}");
        let owned = profile.message(r#"{"id":"m\u0031","sent_us":1}"#).unwrap().id;
        assert!(matches!(&owned, Cow::Owned(id) if id == "m1"), "{owned:?}");
    }

    #[test]
    fn a_number_is_an_id_and_a_string_of_digits_is_a_time() {
        let profile = profile(NCHAN);
        assert_eq!(seen(&profile, r#"{"sent_us":"18","id":7}"#), Some(("7".into(), 18)));
    }

    #[test]
    fn what_is_no_message_is_none() {
        let profile = profile(NCHAN);
        for data in [
            "",
            "ping",
            "7",
            "null",
            "[]",
            r#"{"id":"m1"}"#,
            r#"{"sent_us":1}"#,
            r#"{"id":null,"sent_us":1}"#,
            r#"{"id":"m1","sent_us":-1}"#,
            r#"{"id":"m1","sent_us":1.5}"#,
            r#"{"id":"m1","sent_us":true}"#,
            r#"{"id":"m1","sent_us":"soon"}"#,
            r#"{"id":"m1","sent_us":1} and more"#,
            r#"{"id":"m1","sent_us":1"#,
        ] {
            assert_eq!(seen(&profile, data), None, "{data}");
        }
    }

    #[test]
    fn pointers_read_lists_and_escaped_names() {
        let profile = pointers("/0/a~1b~0", "/10");
        let list = r#"[{"a/b~":"m1"},1,2,3,4,5,6,7,8,9,18]"#;
        assert_eq!(seen(&profile, list), Some(("m1".into(), 18)));
        let object = r#"{"10":18,"0":{"a/b~":"m1"}}"#;
        assert_eq!(seen(&profile, object), Some(("m1".into(), 18)));
        // RFC 6901: no leading zeros in a list's index.
        assert_eq!(seen(&pointers("/00", "/1"), r#"["m1",18]"#), None);
    }
}
