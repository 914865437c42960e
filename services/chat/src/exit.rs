//! Exit codes, after BSD's `sysexits.h`, and how a failure is told.

use std::process::ExitCode;

use crate::{cache, cli, config, dev, listen, store, token};

/// How the program ends. What each means to an operator stands in `docs/configuration.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// `EX_OK`: done, also after a full drain.
    Ok = 0,
    /// A bug, or a failure that nobody foresaw.
    Failure = 1,
    /// `EX_USAGE`: a flag, the configuration, a key or a certificate is wrong.
    Usage = 64,
    /// `EX_UNAVAILABLE`: a service that is needed refuses for good.
    Unavailable = 69,
    /// `EX_CANTCREAT`: the data directory cannot be used.
    CantCreate = 73,
    /// `EX_TEMPFAIL`: drained only in part.
    TempFail = 75,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The exit code for a failure: that of the first error in its chain that has one.
pub fn code(error: &anyhow::Error) -> Exit {
    error.chain().find_map(code_of).unwrap_or(Exit::Failure)
}

fn code_of(error: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    use godwit_store::Error as Store;
    if error.is::<cli::Error>()
        || error.is::<config::Problems>()
        || error.is::<listen::Error>()
        || error.is::<token::Error>()
    {
        return Some(Exit::Usage);
    }
    if error.is::<store::Ended>() || error.is::<cache::Refused>() {
        return Some(Exit::Unavailable);
    }
    if error.is::<dev::Error>() {
        return Some(Exit::CantCreate);
    }
    error.downcast_ref::<Store>().map(|error| match error {
        Store::Refused(_) => Exit::Unavailable,
        Store::Locked { .. }
        | Store::Damaged { .. }
        | Store::NewerFormat { .. }
        | Store::Shards { .. }
        | Store::Directory { .. } => Exit::CantCreate,
        _ => Exit::Failure,
    })
}

/// Tells the failure on standard error, one line for each mistake, and gives the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    for line in lines(error) {
        eprintln!("godwit: {line}");
    }
    code(error).into()
}

fn lines(error: &anyhow::Error) -> Vec<String> {
    match error.downcast_ref::<config::Problems>() {
        Some(problems) => problems.0.iter().map(ToString::to_string).collect(),
        None => vec![chain(error).replace(['\n', '\r'], " ")],
    }
}

/// The error and its causes; a cause that the error before it quotes already is left out.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use anyhow::Context;
    use godwit_store::Error as Store;

    use super::*;

    #[test]
    fn a_data_directory_that_cannot_be_used_is_73() {
        let dir = PathBuf::from("/data");
        let io = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let errors = [
            Store::Locked { dir: dir.clone(), pid: 7 },
            Store::Damaged { dir: dir.clone(), what: "torn".into() },
            Store::NewerFormat { dir: dir.clone(), found: 9, known: 1 },
            Store::Shards { dir: dir.clone(), found: 1, asked: 2 },
            Store::Directory { dir, source: io() },
        ];
        for error in errors {
            let error = Err::<(), _>(error).context("open the store").unwrap_err();
            assert_eq!(code(&error), Exit::CantCreate, "{error:#}");
        }
    }

    #[test]
    fn a_service_that_refuses_for_good_is_69() {
        assert_eq!(code(&Store::Refused("the password is wrong".into()).into()), Exit::Unavailable);
        assert_eq!(code(&store::Ended("another process runs as node a".into()).into()), Exit::Unavailable);
    }

    #[test]
    fn what_nobody_foresaw_is_1() {
        assert_eq!(code(&anyhow::anyhow!("boom")), Exit::Failure);
        assert_eq!(code(&Store::Failed("disk".into()).into()), Exit::Failure);
    }

    #[test]
    fn a_chain_is_one_line_that_repeats_nothing() {
        let source = std::io::Error::other("no space\nleft");
        let error =
            anyhow::Error::new(Store::Directory { dir: "/data".into(), source }).context("open the store");
        let expected = "open the store: the data directory /data cannot be used: no space left";
        assert_eq!(lines(&error), [expected]);
    }
}
