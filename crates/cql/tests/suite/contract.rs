//! The contract of every store.

use crate::database::{self, Keyspace};

godwit_store::contract_tests!(Keyspace::fresh, if database::there());
