//! The order of the crates: who may depend on whom.
//!
//! `types ← wire ← core ← store ← actors ← edge ← services`: each crate may use those to its
//! left and none to its right. The table below says so edge by edge, and [`check`] compares
//! it with what cargo knows. A crate without a line in the table fails: where a new crate
//! stands is decided, not left to happen.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command;

/// A crate, and the crates of the workspace that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("godwit-types", &[]),
    ("godwit-wire", &["godwit-types"]),
    ("godwit-core", &["godwit-types", "godwit-wire"]),
    // What may be lost: presence, rates, the push queue. Knows ids and Redis, no actor.
    ("godwit-cache", &["godwit-types"]),
    ("godwit-store", &["godwit-types", "godwit-wire", "godwit-core"]),
    ("godwit-cql", &["godwit-types", "godwit-store"]),
    ("godwit-actors", &["godwit-types", "godwit-wire", "godwit-core", "godwit-store"]),
    (
        "godwit-edge",
        &["godwit-types", "godwit-wire", "godwit-core", "godwit-cache", "godwit-store", "godwit-actors"],
    ),
    // Logs and profiles are set up by a program; the crates below only emit.
    ("godwit-telemetry", &[]),
    (
        "godwit-chat",
        &[
            "godwit-types",
            "godwit-wire",
            "godwit-core",
            "godwit-cache",
            "godwit-store",
            "godwit-cql",
            "godwit-actors",
            "godwit-edge",
            "godwit-telemetry",
        ],
    ),
    // Reads what a server writes, and is of use for any server.
    ("godwit-sse", &[]),
    // Judges what clients were told: it knows event ids, and nothing of how a server makes them.
    ("godwit-judge", &["godwit-types"]),
    // Starts the servers of others, and knows nothing of ours.
    ("godwit-servers", &[]),
    // Speaks to a server as a client does, so it knows what a client knows.
    ("godwit-testkit", &["godwit-types", "godwit-wire", "godwit-sse", "godwit-judge", "godwit-servers"]),
    // As the testkit, and leaner: what it links runs beside the server that it measures.
    ("godwit-loadgen", &["godwit-sse", "godwit-judge"]),
    ("xtask", &["godwit-servers"]),
];

/// What tests may use beyond the table, and nothing else may.
const FOR_TESTS: &[&str] = &["godwit-testkit", "godwit-servers"];

/// Fails when a crate of the workspace depends on one that it may not know.
///
/// # Errors
/// Lists every edge that the table does not allow; also when cargo cannot describe the
/// workspace.
pub(crate) fn check() -> Result<()> {
    let text = command::output(command::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is no JSON")?;
    let violations = violations(&metadata)?;
    if !violations.is_empty() {
        bail!("the layers do not hold:\n  {}", violations.join("\n  "));
    }
    println!("{} crates, every dependency points down", ALLOWED.len());
    Ok(())
}

/// Every edge of the workspace that the table does not allow, in words.
fn violations(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let members: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        let Some((_, allowed)) = ALLOWED.iter().find(|(member, _)| *member == name) else {
            found.push(format!("{name} has no line in the table of crates/xtask/src/layers.rs"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().context("a package without dependencies")?;
        for dependency in dependencies {
            let target = dependency["name"].as_str().context("a dependency without a name")?;
            let of_tests = dependency["kind"].as_str() == Some("dev");
            // A crate that names itself for its tests, with a feature on, adds no edge.
            let fine = !members.contains(target)
                || allowed.contains(&target)
                || (of_tests && (FOR_TESTS.contains(&target) || target == name));
            if !fine {
                found.push(format!("{name} → {target}"));
            }
        }
    }
    let missing = ALLOWED.iter().map(|(name, _)| *name).filter(|name| !members.contains(name));
    found.extend(missing.map(|name| format!("{name} is in the table and not in the workspace")));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The whole table as a workspace without edges, plus these.
    fn workspace(edges: &[(&str, &str, Option<&str>)]) -> Value {
        let packages: Vec<Value> = ALLOWED
            .iter()
            .map(|(name, _)| {
                let dependencies: Vec<Value> = edges
                    .iter()
                    .filter(|(from, ..)| from == name)
                    .map(|(_, to, kind)| json!({"name": to, "kind": kind}))
                    .collect();
                json!({"name": name, "dependencies": dependencies})
            })
            .collect();
        json!({"packages": packages})
    }

    #[test]
    fn downward_and_outside_edges_are_fine() {
        let workspace = workspace(&[
            ("godwit-edge", "godwit-actors", None),
            ("godwit-chat", "godwit-telemetry", None),
            ("godwit-core", "serde", None),
            ("godwit-chat", "godwit-testkit", Some("dev")),
            ("godwit-store", "godwit-servers", Some("dev")),
            ("godwit-store", "godwit-store", Some("dev")),
        ]);
        assert_eq!(violations(&workspace).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_upward_edge_is_named() {
        let workspace = workspace(&[("godwit-core", "godwit-store", None)]);
        assert_eq!(violations(&workspace).unwrap(), ["godwit-core → godwit-store"]);
    }

    #[test]
    fn tests_may_use_the_testkit_and_no_upper_layer() {
        let workspace = workspace(&[
            ("godwit-edge", "godwit-testkit", None),
            ("godwit-store", "godwit-servers", None),
            ("godwit-core", "godwit-actors", Some("dev")),
            ("godwit-edge", "xtask", Some("build")),
        ]);
        let found = violations(&workspace).unwrap();
        assert_eq!(
            found,
            [
                "godwit-core → godwit-actors",
                "godwit-store → godwit-servers",
                "godwit-edge → godwit-testkit",
                "godwit-edge → xtask"
            ]
        );
    }

    #[test]
    fn table_and_workspace_name_the_same_crates() {
        let mut metadata = workspace(&[]);
        metadata["packages"][0]["name"] = json!("godwit-new");
        let found = violations(&metadata).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("godwit-new has no line"), "{found:?}");
        assert!(found[1].starts_with("godwit-types is in the table"), "{found:?}");
    }

    #[test]
    fn every_allowed_edge_points_at_an_earlier_line() {
        for (index, (name, allowed)) in ALLOWED.iter().enumerate() {
            for target in *allowed {
                let at = ALLOWED.iter().position(|(member, _)| member == target);
                assert!(at.is_some_and(|at| at < index), "{name} → {target}");
            }
        }
    }
}
