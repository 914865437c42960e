//! The real binary: what it refuses, with which words and which exit code, and what it shows.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "cli/program.rs"]
mod program;

use std::fs;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use program::{Program, SECRET, Site};
use serde_json::Value;

/// A configuration with one mistake, and what the one line about it must say.
struct Bad {
    toml: &'static str,
    says: &'static [&'static str],
}

const fn bad(toml: &'static str, says: &'static [&'static str]) -> Bad {
    Bad { toml, says }
}

/// Line 1 is an empty one; the rest of a right configuration is added where it lacks.
const BAD: &[Bad] = &[
    bad("\n[node]\nid = \"a b\"", &[":3: ", "node.id = \"a b\"", "must be an id"]),
    bad("\n[node]\nid = 5", &["node.id = 5", "must be an id"]),
    bad("\n[node]\nzone = \"\"", &["node.zone = \"\"", "must be a text"]),
    bad("\n[node]\nlisten = \"localhost\"", &["node.listen = \"localhost\"", "such as 127.0.0.1:8080"]),
    bad("\n[node]\nlisten = \"127.0.0.1:99999\"", &["node.listen", "an IP address and a port"]),
    bad("\n[node]\nlisten = \"127.0.0.1:9090\"", &["node.admin_listen", "is node.listen too"]),
    bad(
        "\n[node]\nadmin_token_file = \"/missing\"",
        &["node.admin_token_file", "cannot be read", "name a file"],
    ),
    bad("\n[node]\nadmin_token_file = \"SHORT\"", &["node.admin_token_file", "at least 22"]),
    bad(
        "\n[node]\ncors_origins = [\"https://a.example/\"]",
        &["node.cors_origins", "no origin", "without a path"],
    ),
    bad("\n[node]\ncors_origins = [5]", &["node.cors_origins = […]", "must be a list of origins"]),
    bad("\n[auth]\nsecret_file = \"/missing\"", &["auth.secret_file = \"/missing\"", "cannot be read"]),
    bad("\n[auth]\nsecret_file = \"EMPTY\"", &["auth.secret_file", "is empty"]),
    bad(
        "\n[auth]\nsecret_file = \"SHORT\"",
        &["auth.secret_file", "holds 5 bytes", "at least 32", "openssl rand"],
    ),
    bad("\n[auth]\nkey_files = [\"SECRET\"]", &["auth.key_files", "BEGIN PUBLIC KEY"]),
    bad("\n[auth]\nkey_files = [\"PRIVATE\"]", &["auth.key_files", "private key", "-pubout"]),
    bad(
        "\n[auth]\nkey_files = \"EC\"\nalgorithms = [\"HS256\"]",
        &["auth.algorithms", "HS256", "RS256, ES256, EdDSA"],
    ),
    bad("\n[auth]\nkey_files = \"EC\"\nalgorithms = [\"RS256\"]", &["auth.algorithms", "lacks ES256"]),
    bad(
        "\n[auth]\nsecret_file = \"SECRET\"\nalgorithms = [\"RS256\"]",
        &["auth.algorithms", "RS256", "here: HS256"],
    ),
    bad(
        "\n[auth]\nsecret_file = \"SECRET\"\nalgorithms = [\"none\"]",
        &["auth.algorithms", "must be a list of HS256"],
    ),
    bad(
        "\n[auth]\nsecret_file = \"SECRET\"\nkey_files = \"EC\"",
        &["auth.key_files", "beside auth.secret_file"],
    ),
    bad("\n[auth]\nleeway_s = 5\n", &["auth: ", "one of auth.secret_file, auth.key_files, auth.jwks_url"]),
    bad("\n[auth]\njwks_url = \"http://idp.example/keys\"", &["auth.jwks_url", "is not https"]),
    bad(
        "\n[auth]\njwks_url = \"https://u:hunter2@idp.example/\"",
        &["auth.jwks_url = [masked]", "user or password"],
    ),
    bad(
        "\n[auth]\nsecret_file = \"SECRET\"\nleeway_s = 301",
        &["auth.leeway_s = 301", "whole seconds from 0 to 300"],
    ),
    bad("\n[store]\nkind = \"cql\"", &["store.cql.nodes", "is needed with store.kind", "10.0.0.1:9042"]),
    bad("\n[store]\nkind = \"sqlite\"", &["store.kind = \"sqlite\"", "one of embedded, cql"]),
    bad(
        "\n[store.cql]\nnodes = [\"a:9042\"]",
        &["store.cql.nodes", "is read with store.kind = \"cql\" only"],
    ),
    bad(
        "\n[store]\nkind = \"cql\"\ncql.nodes = [\"a\"]",
        &["store.cql.nodes = [\"a\"]", "\"a\", which is not host:port"],
    ),
    bad(
        "\n[store]\nkind = \"cql\"\ncql.nodes = [\"a:1\"]\ncql.keyspace = \"a-b\"",
        &["store.cql.keyspace = \"a-b\"", "lower-case letters"],
    ),
    bad(
        "\n[store]\nkind = \"cql\"\ncql.nodes = [\"a:1\"]\ncql.user = \"u\"",
        &["store.cql.password_file", "is needed with store.cql.user"],
    ),
    bad(
        "\n[store]\nkind = \"cql\"\ncql.nodes = [\"a:1\"]\ncql.password_file = \"SECRET\"",
        &["store.cql.user", "is needed with store.cql.password_file"],
    ),
    bad(
        "\n[store]\nkind = \"cql\"\ncql.nodes = [\"a:1\"]\ncql.tls.ca_file = \"SECRET\"",
        &["store.cql.tls.ca_file", "holds no certificate in PEM"],
    ),
    bad("\n[store.cql]\nreplication_factor = 0", &["store.cql.replication_factor = 0", "from 1 to 9"]),
    bad("\n[cluster]\nlease_ms = 10", &["cluster.lease_ms = 10", "whole milliseconds from 1000"]),
    bad("\nstore = \"embedded\"", &[":2: store = \"embedded\"", "is a section", "[store]"]),
    bad("\n[stream]\nheartbeat_ms = 14999", &[":3: stream.heartbeat_ms = 14999", "from 15000 to 300000"]),
    bad("\n[stream]\nheartbeat_ms = 300001", &["stream.heartbeat_ms = 300001"]),
    bad("\n[stream]\nheartbeat_ms = \"25000\"", &["stream.heartbeat_ms = \"25000\"", "whole milliseconds"]),
    bad("\n[stream]\nheartbeat_ms = 25e3", &["stream.heartbeat_ms = 25e3"]),
    bad(
        "\n[stream]\nretry_min_ms = 6000",
        &["stream.retry_min_ms", "must not be above stream.retry_max_ms (5000)"],
    ),
    bad(
        "\n[stream]\nqueue_bytes = \"256kb\"",
        &["stream.queue_bytes = \"256kb\"", "a size from 32KiB to 64MiB"],
    ),
    bad(
        "\n[stream]\noverflow = \"drop\"",
        &["stream.overflow", "replay, drop_oldest, drop_newest, disconnect"],
    ),
    bad("\n[retention]\ninbox_days = 0", &["retention.inbox_days = 0", "whole days from 1"]),
    bad(
        "\n[limits]\nbatch_bytes = \"32KiB\"",
        &["limits.batch_bytes", "must not be below limits.body_bytes (64KiB)"],
    ),
    bad("\n[limits]\nmembers = 1001", &["limits.members = 1001", "from 2 to 1000"]),
    bad("\n[limits]\nmembers = -1", &["limits.members = -1"]),
    bad("\n[limits]\nburst = 0", &["limits.burst = 0", "from 1 to 1000000"]),
    bad("\n[limits]\nrequests_per_s = 10001", &["limits.requests_per_s = 10001", "from 0 to 10000"]),
    bad("\n[drain]\ndeadline_ms = true", &["drain.deadline_ms = true"]),
    bad("\n[telemetry]\nlog = \"inof\"", &["telemetry.log = \"inof\"", "target=level"]),
    bad("\n[telemetry]\notlp_endpoint = \"http://a\"", &["telemetry.otlp_endpoint: is not in this release"]),
    bad("\n[cluster]\ndiscovery = \"dns\"", &["cluster.discovery: is not in this release"]),
    bad(
        "\n[redis]\nurl = \"redis://:hunter2@a\"",
        &["redis.url = [masked]", "must have no password", "redis.password_file"],
    ),
    bad("\n[redis]\nurl = \"http://a\"", &["redis.url = [masked]", "must be redis://"]),
    bad("\n[redis]\nurl = [\"redis://a\", \"redis://b\"]", &["several servers only for a cluster"]),
    bad("\n[redis]\ncluster = true", &["redis.cluster = true", "needs redis.url beside it"]),
    bad("\n[redis]\nurl = \"redis://a\"\ncluster = \"yes\"", &["redis.cluster", "must be true or false"]),
    bad("\n[redis]\nurl = \"redis://a\"\nprefix = \"a{b\"", &["redis.prefix = \"a{b\"", "characters of A-Z"]),
    bad("\n[redis]\nurl = \"redis://a\"\ntimeout_ms = 0", &["redis.timeout_ms = 0", "from 1 to 10000"]),
    bad(
        "\n[redis]\nurl = \"redis://a\"\ncluster = true\nsentinel_master = \"m\"",
        &["redis.sentinel_master", "must not be set for a cluster"],
    ),
    bad(
        "\n[redis]\nurl = \"rediss://a\"\n[redis.tls]\nca_file = \"no-such.pem\"",
        &["redis.tls.ca_file", "cannot be read"],
    ),
    bad(
        "\n[redis]\nurl = \"redis://a\"\npassword_file = \"no-such\"",
        &["redis.password_file", "cannot be read"],
    ),
    bad("\n[tls]\nlisten = \"a\"", &["tls: is not in this release"]),
    bad("\n[push]\nrelay = \"inside\"", &["push: is not in this release"]),
    bad(
        "\n[stream]\nheartbeat = 5",
        &[":3: stream.heartbeat: is no known key", "did you mean stream.heartbeat_ms?"],
    ),
    bad("\n[stroe]\nkind = \"embedded\"", &[":3: stroe.kind: is no known key", "did you mean store.kind?"]),
    bad("\nheartbeat_ms = 5", &[":2: heartbeat_ms: is no known key", "did you mean stream.heartbeat_ms?"]),
    bad("\n[node\nid = 5", &[":2: is no TOML: "]),
    bad("\n[limits]\nbatch = 5\nbatch = 6", &[":4: is no TOML: "]),
];

#[test]
fn each_mistake_is_one_line_and_exit_64() {
    let site = Site::new();
    for Bad { toml, says } in BAD {
        site.write("bad.toml", &site.completed(toml));
        for command in ["check-config", "serve"] {
            let ended = site.program(&[command, "--config", "bad.toml"]).run();
            assert_eq!(ended.code, 64, "{command} with {toml}\n{ended:?}");
            let lines: Vec<&str> = ended.stderr.lines().collect();
            assert_eq!(lines.len(), 1, "{command} with {toml}\n{ended:?}");
            assert!(lines[0].starts_with("godwit: "), "{ended:?}");
            for part in *says {
                assert!(lines[0].contains(part), "{part:?} is missing for {toml}\n{ended:?}");
            }
            assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
            assert_eq!(ended.stdout, "");
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let site = Site::new();
    let toml =
        "[node]\nid = \"\"\n[stream]\nheartbeat_ms = 1\nretry_min_ms = \"x\"\noverflow = 3\n[nood]\nid = 1\n";
    site.write("bad.toml", toml);
    let ended =
        site.program(&["check-config", "--config", "bad.toml"]).env("GODWIT_LIMITS__BATCH", "many").run();
    assert_eq!(ended.code, 64);
    let expected = [
        "bad.toml:8: nood.id",
        "bad.toml:2: node.id",
        "godwit: node.data_dir: is missing",
        "godwit: auth: ",
        "bad.toml:4: stream.heartbeat_ms",
        "bad.toml:5: stream.retry_min_ms",
        "bad.toml:6: stream.overflow",
        "GODWIT_LIMITS__BATCH: limits.batch = \"many\"",
    ];
    assert_eq!(ended.stderr.lines().count(), expected.len(), "{ended:?}");
    for part in expected {
        assert!(ended.stderr.contains(part), "{part:?} is missing in {ended:?}");
    }
}

#[test]
fn a_file_that_is_not_there() {
    let ended = Site::new().program(&["serve", "--config", "none.toml"]).run();
    assert_eq!(ended.code, 64);
    assert!(ended.stderr.starts_with("godwit: none.toml: cannot be read (No such file"), "{ended:?}");
}

#[test]
fn unknown_variables_name_the_nearest() {
    let site = Site::new();
    let check = || site.program(&["check-config", "--config", "right.toml"]);
    let cases = [
        ("GODWIT_STORE_KIND", "GODWIT_STORE_KIND: is no variable", "did you mean GODWIT_STORE__KIND?"),
        ("GODWIT_STREAM__HEARTBEAT", "is no variable", "did you mean GODWIT_STREAM__HEARTBEAT_MS?"),
        ("GODWIT_store__kind", "is no variable", "did you mean GODWIT_STORE__KIND?"),
        ("GODWIT_STORE__CQL__NODE", "is no variable", "did you mean GODWIT_STORE__CQL__NODES?"),
        ("GODWIT_PUSH__RELAY", "push.relay: is not in this release", ""),
    ];
    for (name, first, second) in cases {
        let ended = check().env(name, "x").run();
        assert_eq!(ended.code, 64, "{ended:?}");
        assert!(ended.stderr.contains(first) && ended.stderr.contains(second), "{ended:?}");
    }
    let ended = check().env("GODWIT_SERVICE_HOST", "10.0.0.1").env("GODWIT_PORT", "tcp://10.0.0.1:80").run();
    assert_eq!(ended.code, 0, "what Kubernetes sets is not ours: {ended:?}");
}

#[test]
fn a_flag_beats_the_environment_and_that_beats_the_file() {
    let site = Site::new();
    site.write("right.toml", &site.completed("[node]\nid = \"from-file\"\n[limits]\nbatch = 7\n"));
    let check = || site.program(&["check-config", "--config", "right.toml"]);
    let ended = check().run();
    assert!(ended.stdout.contains("node.id = \"from-file\"  # right.toml:2\n"), "{ended:?}");
    assert!(ended.stdout.contains("limits.members = 1000  # default\n"), "{ended:?}");
    let ended = check().env("GODWIT_NODE__ID", "from-env").env("GODWIT_LIMITS__BATCH", "8").run();
    assert!(ended.stdout.contains("node.id = \"from-env\"  # GODWIT_NODE__ID\n"), "{ended:?}");
    assert!(ended.stdout.contains("limits.batch = 8  # GODWIT_LIMITS__BATCH\n"), "{ended:?}");

    let arguments =
        ["serve", "--config", "right.toml", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let arguments = [&arguments[..], &["--node-id", "from-flag"]].concat();
    let serve =
        site.program(&arguments).env("GODWIT_NODE__ID", "from-env").env("GODWIT_NODE__LISTEN", "1.2.3.4:1");
    let node = serve.start();
    assert_eq!(node.listening()["node"], "from-flag");
    assert_eq!(node.stop().code, 0);
}

#[test]
fn a_flag_is_checked_like_a_key() {
    let ended = Site::new().program(&["dev", "--listen", "8080"]).run();
    assert_eq!(ended.code, 64);
    assert!(
        ended.stderr.starts_with("godwit: --listen: node.listen = \"8080\": must be an IP address"),
        "{ended:?}"
    );
}

#[test]
fn check_config_shows_a_configuration_and_changes_nothing() {
    let site = Site::new();
    let before = site.files();
    let first = site.program(&["check-config", "--config", "right.toml"]).run();
    assert_eq!((first.code, first.stderr.as_str()), (0, ""), "{first:?}");
    assert!(first.stdout.ends_with("# the configuration is right\n"));
    assert!(!first.stdout.contains(SECRET), "{first:?}");
    assert_eq!(site.files(), before, "nothing is made");

    site.write("again.toml", &first.stdout);
    let again = site.program(&["check-config", "--config", "again.toml"]).run();
    let values =
        |text: &str| text.lines().map(|l| l.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(again.code, 0, "what it shows is a configuration: {again:?}");
    assert_eq!(values(&again.stdout), values(&first.stdout));
}

#[test]
fn keys_of_all_kinds_are_taken() {
    let site = Site::new();
    for (keys, algorithms) in [
        ("key_files = [\"RSA\", \"EC\", \"ED\"]", "[\"ES256\", \"EdDSA\", \"RS256\"]"),
        ("jwks_url = \"https://idp.example/keys\"", "[\"ES256\"]"),
        ("jwks_url = \"http://127.0.0.1:1/keys\"", "[\"RS256\"]"),
        ("secret_file = [\"SECRET\", \"OTHER_SECRET\"]", "\"HS256\""),
    ] {
        site.write("keys.toml", &site.completed(&format!("[auth]\n{keys}\nalgorithms = {algorithms}\n")));
        let ended = site.program(&["check-config", "--config", "keys.toml"]).run();
        assert_eq!(ended.code, 0, "{keys}: {ended:?}");
    }
}

#[test]
fn dev_stays_on_loopback() {
    let site = Site::new();
    for (flag, field) in [("--listen", "node.listen"), ("--admin-listen", "node.admin_listen")] {
        let ended = site.program(&["dev", flag, "0.0.0.0:0"]).run();
        assert_eq!(ended.code, 64, "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        for part in
            [flag, field, "0.0.0.0:0", "is not a loopback address", "tokens for every account", "--i-know"]
        {
            assert!(ended.stderr.contains(part), "{part:?} is missing in {ended:?}");
        }
    }
    let ended = site.program(&["dev"]).env("GODWIT_NODE__LISTEN", "[::]:0").run();
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(!site.path("godwit-data").exists(), "nothing was made");
    let ended = site.program(&["dev"]).env("GODWIT_AUTH__JWKS_URL", "https://idp.example/keys").run();
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(
        ended.stderr.contains("auth.jwks_url") && ended.stderr.contains("use auth.secret_file"),
        "{ended:?}"
    );
}

/// The loopback device alone carries this: the address is all of them, the one client is here.
#[test]
fn dev_goes_elsewhere_for_who_knows() {
    let site = Site::new();
    let node =
        site.program(&["dev", "--listen", "0.0.0.0:0", "--admin-listen", "127.0.0.1:0", "--i-know"]).start();
    let listen = node.listening()["listen"].as_str().unwrap().to_owned();
    assert!(listen.starts_with("0.0.0.0:"), "{listen}");
    let ended = node.stop();
    assert_eq!(ended.code, 0);
    let port = listen.rsplit(':').next().unwrap();
    assert!(ended.stdout.contains(&format!("http://127.0.0.1:{port}/")), "{ended:?}");
}

#[test]
fn dev_says_where_to_look() {
    let site = Site::new();
    let start = || site.program(&["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).start();
    let node = start();
    let listening = node.listening();
    let ended = node.stop();
    assert_eq!(ended.code, 0, "{ended:?}");
    let (listen, admin) =
        (listening["listen"].as_str().unwrap(), listening["admin_listen"].as_str().unwrap());
    for part in [
        format!("http://{listen}/\n"),
        format!("http://{admin}/\n"),
        format!("curl -N 'http://{listen}/v1/events' -H 'Authorization: Bearer ey"),
        format!("curl 'http://{listen}/v1/conversations' -H 'Authorization: Bearer ey"),
        format!("curl 'http://{listen}/dev/token?account=u3&device=phone'"),
        "godwit-data".into(),
        "Ctrl-C".into(),
    ] {
        assert!(ended.stdout.contains(&part), "{part:?} is missing in {ended:?}");
    }
    let secret = fs::read(site.path("godwit-data/dev-secret")).unwrap();
    let tokens = ended.stdout.split("Bearer ").skip(1).map(|rest| rest.split('\'').next().unwrap());
    let accounts: Vec<Value> =
        tokens.map(|token| claims(token, secret.trim_ascii_end())["sub"].clone()).collect();
    assert_eq!(accounts, ["u2", "u1"]);
    assert!(!ended.stderr.contains("eyJ"), "no token in the log: {ended:?}");

    assert_eq!(start().stop().code, 0);
    assert_eq!(fs::read(site.path("godwit-data/dev-secret")).unwrap(), secret, "the secret stays");
}

#[test]
fn dev_without_a_data_directory_ends_with_73() {
    let site = Site::new();
    site.write("file", "not a directory");
    let arguments = ["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", "file"];
    let ended = site.program(&arguments).run();
    assert_eq!(ended.code, 73, "{ended:?}");
    assert!(
        ended.stderr.contains(
            "file/dev-secret cannot be made: File exists (os error 17); name another data directory"
        ),
        "{ended:?}"
    );
}

#[test]
fn an_address_in_use_is_64() {
    let site = Site::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = site.program(&["dev", "--listen", &address, "--admin-listen", "127.0.0.1:0"]).run();
    assert_eq!(ended.code, 64);
    let expected = format!("godwit: node.listen = {address}: cannot be listened on (Address already in use");
    assert!(ended.stderr.starts_with(&expected), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1);
}

#[test]
fn serve_shows_its_configuration_at_debug_without_secrets() {
    let site = Site::new();
    let arguments =
        ["serve", "--config", "right.toml", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let serve = |level| site.program(&arguments).env("GODWIT_TELEMETRY__LOG", level).start();
    let node = serve("debug");
    node.listening();
    let debug = node.stop();
    assert!(debug.stderr.contains("stream.heartbeat_ms = 25000  # default"), "{debug:?}");
    assert!(debug.stderr.contains("auth.secret_file"), "{debug:?}");
    assert!(!debug.stderr.contains(SECRET), "{debug:?}");
    let node = serve("info");
    node.listening();
    let info = node.stop();
    assert!(!info.stderr.contains("heartbeat_ms"), "{info:?}");
    assert_eq!(info.stdout, "", "serve has no banner");
}

#[test]
fn a_token_and_back() {
    let site = Site::new();
    let arguments =
        ["token", "--secret-file", "SECRET", "--account", "auth0|u 1", "--device", "phone", "--ttl", "7d"];
    let ended = site.program(&arguments).run();
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let token = ended.stdout.strip_suffix('\n').unwrap();
    let first = claims(token, SECRET.as_bytes());
    assert_eq!((&first["sub"], &first["dev"]), (&"auth0|u 1".into(), &"phone".into()));
    assert_eq!(first["exp"].as_u64().unwrap() - first["iat"].as_u64().unwrap(), 7 * 24 * 60 * 60);
    let second = claims(site.program(&arguments).run().stdout.trim(), SECRET.as_bytes());
    assert_ne!(first["jti"], second["jti"], "no two tokens share an id");
    let other = DecodingKey::from_secret(b"another secret of at least 32 bytes");
    assert!(jsonwebtoken::decode::<Value>(token, &other, &Validation::new(Algorithm::HS256)).is_err());
}

#[test]
fn a_wish_for_a_token_is_checked() {
    let site = Site::new();
    let cases = [
        (["SECRET", "", "phone", "1h"], "--account = \"\": must not be empty"),
        (["SECRET", "ü", "phone", "1h"], "--account = \"ü\": must consist of printable ASCII"),
        (["SECRET", "u1", "a b", "1h"], "--device = \"a b\": must consist of A-Z"),
        (["SECRET", "u1", "..", "1h"], "--device = \"..\": must not be"),
        (["SECRET", "u1", "phone", "1 fortnight"], "--ttl = \"1 fortnight\": must be a time"),
        (["SECRET", "u1", "phone", "0s"], "--ttl = \"0s\": must be a time of at least 1s"),
        (["SECRET", "u1", "phone", "9000years"], "--ttl = \"9000years\": ends after the year 9999"),
        (["SHORT", "u1", "phone", "1h"], "--secret-file = \"SHORT\": holds 5 bytes"),
        (["/missing", "u1", "phone", "1h"], "--secret-file = \"/missing\": cannot be read"),
    ];
    for ([secret, account, device, ttl], says) in cases {
        let arguments =
            ["token", "--secret-file", secret, "--account", account, "--device", device, "--ttl", ttl];
        let ended = site.program(&arguments).run();
        assert_eq!(ended.code, 64, "{ended:?}");
        assert!(ended.stderr.starts_with(&format!("godwit: {says}")), "{says}: {ended:?}");
        assert_eq!((ended.stderr.lines().count(), ended.stdout.as_str()), (1, ""));
    }
}

#[test]
fn a_command_line_that_is_wrong_is_one_line_and_64() {
    let site = Site::new();
    let cases: [(&[&str], &str); 6] = [
        (&[], "no command is given; it is dev, serve"),
        (&["srve"], "a similar subcommand exists: 'serve'"),
        (&["serve"], "--config <FILE>"),
        (&["dev", "--lisen", "127.0.0.1:0"], "a similar argument exists: '--listen'"),
        (&["token", "--account", "u1"], "--secret-file <FILE>"),
        (&["dev", "--listen"], "a value is required"),
    ];
    for (arguments, says) in cases {
        let ended = site.program(arguments).run();
        assert_eq!(ended.code, 64, "{arguments:?}: {ended:?}");
        assert!(
            ended.stderr.starts_with("godwit: ") && ended.stderr.contains(says),
            "{arguments:?}: {ended:?}"
        );
        assert_eq!(ended.stderr.lines().count(), 1, "{arguments:?}: {ended:?}");
    }
}

#[test]
fn help_and_version() {
    let site = Site::new();
    let version = site.program(&["--version"]).run();
    assert_eq!((version.code, version.stdout), (0, format!("godwit {}\n", env!("CARGO_PKG_VERSION"))));
    let help = site.program(&["--help"]).run();
    for command in ["dev", "serve", "check-config", "token"] {
        assert!(help.stdout.contains(command), "{help:?}");
        let own = site.program(&[command, "--help"]).run();
        assert_eq!((own.code, own.stderr.as_str()), (0, ""));
        assert!(own.stdout.contains("Usage: godwit ") && own.stdout.lines().count() > 5, "{own:?}");
    }
}

#[test]
fn stops_at_either_signal_within_the_bound() {
    let site = Site::new();
    for signal in ["TERM", "INT"] {
        let node: Program =
            site.program(&["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        let node = node.start();
        node.listening();
        let ended = node.signal(signal);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stderr.contains(&format!("\"signal\":\"SIG{signal}\"")), "{ended:?}");
        assert!(ended.took < Duration::from_secs(5), "{ended:?}");
    }
}

fn claims(token: &str, secret: &[u8]) -> Value {
    let validation = Validation::new(Algorithm::HS256);
    jsonwebtoken::decode(token, &DecodingKey::from_secret(secret), &validation).unwrap().claims
}
