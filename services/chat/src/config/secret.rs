//! What must not be read by others: masked wherever it could be printed.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;

/// What stands for a secret.
pub(super) const MASK: &str = "[masked]";

/// Fewest bytes of a secret that signs tokens: as many as the hash of HS256 has (RFC 7518, 3.2).
pub const SIGNING_SECRET_BYTES_MIN: usize = 32;

/// Most bytes of a secret or key file. The largest that makes sense, an RSA key of 16,384 bits in
/// PEM, has 3 KB; a wrong path, such as that of a disk image, is not read to its end.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes as they are.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes; not for a log.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Reads a secret of at least [`SIGNING_SECRET_BYTES_MIN`] bytes. Line ends after it do not
    /// count. The error says what is wrong with the file and what would be right, on one line.
    pub fn read_for_signing(path: &Path) -> Result<Self, String> {
        let secret = Self::read(path)?;
        if secret.0.len() < SIGNING_SECRET_BYTES_MIN {
            return Err(format!(
                "holds {} bytes, a signing secret needs at least {SIGNING_SECRET_BYTES_MIN}; make one with: \
                 openssl rand -hex 32",
                secret.0.len()
            ));
        }
        Ok(secret)
    }

    /// Reads a file that must not be empty. Line ends at its end do not count.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let unreadable = |error| format!("cannot be read ({error}); name a file that this user may read");
        let file = fs::File::open(path).map_err(unreadable)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(format!(
                "is larger than {FILE_BYTES_MAX} bytes; name a file with a secret or a key in it"
            ));
        }
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        if bytes.is_empty() {
            return Err("is empty; write the secret or key into it".into());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_masked() {
        let secret = Secret::new(b"correct horse battery staple".to_vec());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[masked] Some([masked])");
    }
}
