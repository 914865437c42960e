//! Servers of a test's own, whose files nobody wants to see afterwards.

use std::ops::{Deref, DerefMut};
use std::path::Path;

use tempfile::TempDir;

use super::{Cluster, Options, Sentinel, Server};
use crate::error::{self, Result};

/// Servers with their files in a temporary directory: both are gone when this is dropped.
#[derive(Debug)]
pub struct Temporary<S> {
    servers: S,
    /// After the servers, so that it is removed when they are gone.
    _home: TempDir,
}

impl Temporary<Server> {
    /// As [`Server::start`].
    ///
    /// # Errors
    /// As there.
    pub fn server(options: Options) -> Result<Self> {
        Self::start(|home| Server::start(home, options))
    }
}

impl Temporary<Cluster> {
    /// As [`Cluster::start`].
    ///
    /// # Errors
    /// As there.
    pub fn cluster(password: Option<&str>) -> Result<Self> {
        Self::start(|home| Cluster::start(home, password))
    }
}

impl Temporary<Sentinel> {
    /// As [`Sentinel::start`].
    ///
    /// # Errors
    /// As there.
    pub fn sentinel(password: Option<&str>) -> Result<Self> {
        Self::start(|home| Sentinel::start(home, password))
    }
}

impl<S> Temporary<S> {
    fn start(start: impl FnOnce(&Path) -> Result<S>) -> Result<Self> {
        let home = tempfile::tempdir().map_err(error::file("make", &std::env::temp_dir()))?;
        Ok(Self { servers: start(home.path())?, _home: home })
    }
}

impl<S> Deref for Temporary<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.servers
    }
}

impl<S> DerefMut for Temporary<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.servers
    }
}
