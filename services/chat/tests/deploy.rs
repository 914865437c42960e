//! What `deploy/` says agrees with the program and with itself. Containers are not run here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use godwit_chat::config::KEYS;
use yaml_rust2::{Yaml, YamlLoader};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn deploy() -> PathBuf {
    root().join("deploy")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &Path) -> Yaml {
    let mut documents =
        YamlLoader::load_from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(documents.len(), 1, "{}", path.display());
    documents.remove(0)
}

/// The files below a folder whose names end so.
fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

/// The texts of a list, such as `volumes`.
fn texts(list: &Yaml) -> Vec<&str> {
    list.as_vec().map(|list| list.iter().filter_map(Yaml::as_str).collect()).unwrap_or_default()
}

/// A service's own keys, and those that it takes from `<<`.
fn field<'a>(map: &'a Yaml, name: &str) -> &'a Yaml {
    let own = &map[name];
    if own.is_badvalue() { &map["<<"][name] } else { own }
}

fn services(compose: &Yaml) -> impl Iterator<Item = (&str, &Yaml)> {
    let services = compose["services"].as_hash().expect("services");
    services.iter().map(|(name, service)| (name.as_str().expect("a name"), service))
}

#[test]
fn every_file_parses() {
    let mut found = Vec::new();
    files(&deploy(), ".yaml", &mut found);
    files(&deploy(), ".yml", &mut found);
    assert!(found.len() >= 4, "{found:?}");
    found.iter().for_each(|file| drop(yaml(file)));
}

#[test]
fn what_is_mounted_and_built_exists() {
    let compose = yaml(&deploy().join("compose.yaml"));
    let named = compose["volumes"].as_hash().expect("volumes");
    for (name, service) in services(&compose) {
        for volume in texts(field(service, "volumes")) {
            let source = volume.split(':').next().unwrap_or_default();
            if source.starts_with('.') {
                assert!(deploy().join(source).exists(), "{name} mounts {source}");
            } else {
                assert!(named.contains_key(&Yaml::String(source.to_owned())), "{name}: no volume {source}");
            }
        }
        for other in texts(field(service, "depends_on")) {
            assert!(services(&compose).any(|(name, _)| name == other), "{name} depends on {other}");
        }
        let build = field(service, "build");
        if let (Some(context), Some(file)) = (build["context"].as_str(), build["dockerfile"].as_str()) {
            assert!(deploy().join(context).join(file).exists(), "{name} is built by {file}");
        }
    }
    // What the build copies, of what the ignore file lets through.
    for line in read(&deploy().join("Dockerfile.dockerignore")).lines() {
        if let Some(kept) = line.strip_prefix('!') {
            assert!(root().join(kept).exists(), "{kept}");
        }
    }
}

#[test]
fn the_nodes_are_told_only_what_the_program_knows() {
    let known: BTreeSet<String> = KEYS.iter().map(|key| key.variable()).collect();
    let compose = yaml(&deploy().join("compose.yaml"));
    let mut nodes = 0;
    for (name, service) in services(&compose).filter(|(name, _)| name.starts_with("node-")) {
        nodes += 1;
        let environment = &service["environment"];
        let merged = [environment, &environment["<<"]];
        let given = merged.iter().filter_map(|map| map.as_hash()).flat_map(|map| map.keys());
        let given: Vec<&str> = given.filter_map(Yaml::as_str).filter(|name| *name != "<<").collect();
        assert!(given.contains(&"GODWIT_STORE__KIND"), "{name}: {given:?}");
        let unknown: Vec<&&str> = given.iter().filter(|name| !known.contains(**name)).collect();
        assert!(unknown.is_empty(), "{name} is told {unknown:?}");
    }
    assert_eq!(nodes, 2);
    let file = read(&deploy().join("godwit.toml"));
    let table: toml::Table = file.parse().expect("godwit.toml");
    for (section, keys) in &table {
        for key in keys.as_table().expect("a section").keys() {
            let name = format!("{section}.{key}");
            assert!(KEYS.iter().any(|known| known.name == name), "{name} is no key");
        }
    }
}

#[test]
fn the_dashboard_shows_metrics_that_the_program_has() {
    let mut sources = Vec::new();
    files(&root().join("crates"), ".rs", &mut sources);
    files(&root().join("services"), ".rs", &mut sources);
    let named = |line: &str| {
        let name = line.split_once(": &str = \"")?.1.split_once('"')?.0;
        (line.contains("const ") && (name.starts_with("godwit_") || name.starts_with("process_")))
            .then(|| name.to_owned())
    };
    let known: BTreeSet<String> =
        sources.iter().flat_map(|file| read(file).lines().filter_map(named).collect::<Vec<_>>()).collect();
    let text = read(&deploy().join("grafana/dashboards/godwit.json"));
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut shown = BTreeSet::new();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets")) {
        let expression = target["expr"].as_str().expect("an expression");
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        shown.extend(words.filter(|word| word.starts_with("godwit_") || word.starts_with("process_")));
    }
    assert!(shown.len() >= 10, "{shown:?}");
    // A histogram's series have names of their own.
    let missing: Vec<_> =
        shown.iter().filter(|name| !known.contains(name.trim_end_matches("_bucket"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let source = yaml(&deploy().join("grafana/provisioning/datasources/prometheus.yaml"));
    let uid = source["datasources"][0]["uid"].as_str();
    assert!(panels.iter().all(|panel| panel["datasource"]["uid"].as_str() == uid));
}
