//! The contract of every store, and that of databases that several processes share.

use godwit_store::contract::shared::SharedPlace;

use crate::database::{self, INBOX_TTL, Keyspace};

impl SharedPlace for Keyspace {
    fn inbox_ttl_s(&self) -> u32 {
        INBOX_TTL.as_secs() as u32
    }
}

godwit_store::contract_tests!(Keyspace::fresh, if database::there());
godwit_store::shared_contract_tests!(Keyspace::fresh, if database::there());
