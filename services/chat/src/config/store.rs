//! `[store]`: where everything that must survive is kept.

use super::fields::Fields;
use super::key::{Absent, Key, Shape};

pub(super) const KEYS: &[Key] = &[Key {
    name: "store.kind",
    shape: Shape::Choice(&["embedded", "cql"]),
    default: Absent::Is("embedded"),
    meaning: "Where data is kept: `embedded` in `node.data_dir`; `cql` is not in this release.",
}];

/// Where everything that must survive is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In this process, in [`super::Node::store_dir`].
    Embedded,
}

impl Store {
    pub(super) fn read(fields: &mut Fields) -> Self {
        if fields.choice("store.kind") == Some("cql") {
            fields.problem("store.kind", "is not in this release; use \"embedded\"");
        }
        Self::Embedded
    }
}
