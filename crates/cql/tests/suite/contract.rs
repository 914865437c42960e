//! The contract of every store.

use crate::database::Keyspace;

godwit_store::contract_tests!(Keyspace::fresh);
