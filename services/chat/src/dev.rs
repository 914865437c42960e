//! What only `godwit dev` does: a signing secret of its own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::Secret;

/// The secret's file, in the data directory beside the store.
pub const SECRET_FILE: &str = "dev-secret";

/// The data directory, or the secret within it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something could not be made.
    #[error("{} cannot be made: {source}; name another data directory", path.display())]
    Make {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a secret that cannot be used.
    #[error("{} {what}; remove it, and a new one is made", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// The secret of the data directory; made at first, with mode 0600.
///
/// It appears whole or not at all, so that neither a crash nor a second process that starts at the
/// same moment can see half of one.
pub fn secret(data_dir: &Path) -> Result<Secret, Error> {
    let path = data_dir.join(SECRET_FILE);
    if !path.exists() {
        make(data_dir, &path).map_err(|source| Error::Make { path: path.clone(), source })?;
    }
    Secret::read_for_signing(&path).map_err(|what| Error::Unusable { path, what })
}

fn make(data_dir: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(data_dir)?;
    let secret: [u8; 32] = rand::random();
    let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = data_dir.join(format!("{SECRET_FILE}.{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        // Unlike a rename this does not replace the secret of a process that was quicker.
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    })();
    let _ = fs::remove_file(&draft);
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn is_made_once_and_for_this_user_only() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("a/b");
        let first = secret(&data_dir).unwrap();
        assert_eq!(secret(&data_dir).unwrap(), first);
        assert_eq!(first.expose().len(), 64);
        let mode = fs::metadata(data_dir.join(SECRET_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1, "no draft is left");
        assert_ne!(secret(dir.path()).unwrap(), first, "each directory has its own");
    }

    #[test]
    fn the_secret_of_a_quicker_process_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SECRET_FILE);
        fs::write(&path, "x".repeat(40)).unwrap();
        make(dir.path(), &path).unwrap();
        assert_eq!(secret(dir.path()).unwrap().expose(), "x".repeat(40).as_bytes());
    }

    #[test]
    fn one_that_is_broken_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SECRET_FILE);
        fs::write(&path, "short").unwrap();
        assert!(matches!(secret(dir.path()).unwrap_err(), Error::Unusable { .. }));
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }
}
