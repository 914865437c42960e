//! The store on a real database, Apache Cassandra or ScyllaDB.

mod contract;
mod database;
mod figures;
mod migration;
mod refusals;
mod requests;
