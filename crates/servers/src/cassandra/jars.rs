//! Cassandra's jars, from a Maven repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{self, Result};
use crate::process::run;

/// The version that is fetched.
pub const VERSION: &str = "5.0.6";

/// Fetches Cassandra and what it needs into `dir/lib`, unless it is there: 100 jars, 66 MB. Needs Maven,
/// and uses the repository that its settings name.
///
/// # Errors
/// When Maven is missing or fails.
pub fn fetch(dir: &Path) -> Result<PathBuf> {
    let lib = dir.join("lib");
    let done = dir.join(format!("fetched-{VERSION}"));
    if done.exists() {
        return Ok(lib);
    }
    if lib.exists() {
        // Of another version, or of a fetch that was cut off.
        std::fs::remove_dir_all(&lib).map_err(error::file("remove", &lib))?;
    }
    std::fs::create_dir_all(dir).map_err(error::file("make", dir))?;
    let pom = dir.join("pom.xml");
    std::fs::write(&pom, project()).map_err(error::file("write", &pom))?;
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
    run(maven.arg("-DoutputDirectory=lib").current_dir(dir))?;
    std::fs::write(&done, "").map_err(error::file("write", &done))?;
    Ok(lib)
}

/// A Maven project with the one dependency.
fn project() -> String {
    format!(
        r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>godwit</groupId>
  <artifactId>cassandra</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId>
      <artifactId>cassandra-all</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"#
    )
}
