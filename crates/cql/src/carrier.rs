//! What is sent to the database, and counted.

use std::ops::ControlFlow;

use godwit_store::{Error, Swap};
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::response::PagingState;
use scylla::response::query_result::QueryResult;
use scylla::statement::batch::{Batch, BatchType};
use scylla::value::{CqlValue, Row};

use crate::changes::{Change, Value};
use crate::faults::failed;
use crate::lanes::Carrier;
use crate::statements::{Name, Statements};
use crate::usage::{Kind, Usage, failure};

/// Rows in one page of anything but a log: they are short.
const PAGE_ROWS: usize = 1_000;

/// The session with its statements.
pub(crate) struct Requests {
    session: Session,
    statements: Statements,
    usage: Usage,
}

impl Requests {
    /// Requests by that session.
    pub(crate) fn new(session: Session, statements: Statements) -> Self {
        Self { session, statements, usage: Usage::default() }
    }

    /// What was sent so far.
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Hands rows to `take`, page by page, until there are no more or it has enough. Answers whether it wanted
    /// more.
    pub(crate) async fn each<R>(
        &self,
        name: Name,
        kind: Kind,
        values: Vec<Value>,
        page: usize,
        mut take: impl FnMut(R) -> Result<bool, Error> + Send,
    ) -> Result<bool, Error>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm> + Send,
    {
        let mut statement = self.statements.of(name).clone();
        statement.set_page_size(i32::try_from(page.max(1)).unwrap_or(i32::MAX));
        let mut from = PagingState::start();
        loop {
            self.usage.request(kind, 1);
            let answer = self.session.execute_single_page(&statement, &values, from).await;
            let (result, state) = answer.map_err(|error| fault(kind, name, &error))?;
            let rows = result.into_rows_result().map_err(|error| unreadable(name, error))?;
            for row in rows.rows::<R>().map_err(|error| unreadable(name, error))? {
                if !take(row.map_err(|error| unreadable(name, error))?)? {
                    return Ok(false);
                }
            }
            match state.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(true),
                ControlFlow::Continue(next) => from = next,
            }
        }
    }

    /// All rows.
    pub(crate) async fn all<R, T: Send>(
        &self,
        name: Name,
        kind: Kind,
        values: Vec<Value>,
        read: impl Fn(R) -> Result<T, Error> + Send + Sync,
    ) -> Result<Vec<T>, Error>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm> + Send,
    {
        let mut found = Vec::new();
        let take = |row| {
            found.push(read(row)?);
            Ok(true)
        };
        self.each(name, kind, values, PAGE_ROWS, take).await?;
        Ok(found)
    }

    /// The first row, if there is one.
    pub(crate) async fn first<R, T: Send>(
        &self,
        name: Name,
        kind: Kind,
        values: Vec<Value>,
        read: impl Fn(R) -> Result<T, Error> + Send + Sync,
    ) -> Result<Option<T>, Error>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm> + Send,
    {
        let mut found = None;
        let take = |row| {
            found = Some(read(row)?);
            Ok(false)
        };
        self.each(name, kind, values, 1, take).await?;
        Ok(found)
    }

    /// Compare-and-sets of one partition: all of them or none. Never repeated here or by the driver.
    pub(crate) async fn swap(&self, changes: Vec<Change>) -> Result<Swap, Error> {
        let Some(name) = changes.first().map(|change| change.name) else { return Ok(Swap::Applied) };
        self.usage.request(Kind::Swap, changes.len());
        let answer = self.send(changes, false).await.map_err(|error| fault(Kind::Swap, name, &error))?;
        applied(answer).map(|applied| if applied { Swap::Applied } else { Swap::Refused })
    }

    /// Sends changes of one partition: one as it is, more as one batch.
    async fn send(&self, mut changes: Vec<Change>, idempotent: bool) -> Result<QueryResult, ExecutionError> {
        let first = self.statements.of(changes[0].name);
        if let [_] = changes[..] {
            let change = changes.remove(0);
            return self.session.execute_unpaged(first, change.values).await;
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_execution_profile_handle(first.get_execution_profile_handle().cloned());
        batch.set_is_idempotent(idempotent);
        let mut values = Vec::with_capacity(changes.len());
        for change in changes {
            batch.append_statement(self.statements.of(change.name).clone());
            values.push(change.values);
        }
        self.session.batch(&batch, values).await
    }
}

impl Carrier for Requests {
    async fn carry(&self, changes: Vec<Change>) -> Result<(), String> {
        self.usage.request(Kind::Write, changes.len());
        match self.send(changes, true).await {
            Ok(_) => Ok(()),
            Err(error) => {
                failure(Kind::Write);
                Err(format!("a write: {error}"))
            }
        }
    }
}

/// Whether a compare-and-set was applied. ScyllaDB answers a row for each of several conditions; the first column
/// of each says the same.
pub(crate) fn applied(answer: QueryResult) -> Result<bool, Error> {
    let what = "the answer to a compare-and-set";
    let rows = answer.into_rows_result().map_err(|error| failed(what, error))?;
    let row = rows.first_row::<Row>().map_err(|error| failed(what, error))?;
    match row.columns.first() {
        Some(Some(CqlValue::Boolean(applied))) => Ok(*applied),
        other => Err(failed(what, format!("{other:?}"))),
    }
}

fn fault(kind: Kind, name: Name, error: &ExecutionError) -> Error {
    failure(kind);
    failed(&format!("{name:?}"), error)
}

/// The answer is not what the statement asks for.
fn unreadable(name: Name, error: impl std::fmt::Display) -> Error {
    failed(&format!("the answer to {name:?} is unreadable"), error)
}
