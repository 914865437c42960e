//! What the driver's errors mean to a caller: unknown, or never.

use godwit_store::Error;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    MetadataError, MetadataFetchErrorKind, NewSessionError, PrepareError, RequestAttemptError,
};

/// A request that failed; whether it took effect is unknown.
pub(crate) fn failed(what: &str, error: impl std::fmt::Display) -> Error {
    Error::Failed(format!("{what}: {error}"))
}

/// How Cassandra begins when it cannot read who we are, or what we may: that passes, and bears the code of a
/// refusal all the same.
const NOT_NOW: &str = "Unable to perform";

/// A failed statement of the schema, or its preparation: what lacks a right will lack it again. "Invalid" is not
/// final: a node answers so as long as it has not heard of a table that another program has just made.
pub(crate) fn of_statement(what: &str, error: &ExecutionError) -> Error {
    match database_error(error) {
        Some((DbError::Unauthorized, text)) if !text.starts_with(NOT_NOW) => Error::Refused(format!(
            "the database does not allow it ({what}): {text}; grant the right, or use another user"
        )),
        Some((DbError::SyntaxError | DbError::ConfigError, text)) => {
            Error::Refused(format!("the database refuses a statement ({what}): {text}"))
        }
        _ => failed(what, error),
    }
}

/// What the database itself said, if it was the database.
pub(crate) fn database_error(error: &ExecutionError) -> Option<(&DbError, &str)> {
    match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, text)) => Some((error, text)),
        ExecutionError::PrepareError(error) => of_prepare(error),
        _ => None,
    }
}

fn of_prepare(error: &PrepareError) -> Option<(&DbError, &str)> {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt: RequestAttemptError::DbError(error, text) } => {
            Some((error, text))
        }
        _ => None,
    }
}

/// Why no session came about.
pub(crate) fn of_session(place: &str, error: &NewSessionError) -> Error {
    match error {
        NewSessionError::IllegalConfig(text) => Error::Refused(format!("the database's settings: {text}")),
        NewSessionError::EmptyKnownNodesList => {
            Error::Refused("no node of the database is named; name at least one".to_owned())
        }
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
            last_connection_error: ConnectionError::ConnectionSetupRequestError(error),
        })) => of_setup(place, &error.error),
        NewSessionError::MetadataError(MetadataError::FetchError(fetch)) => match &fetch.error {
            MetadataFetchErrorKind::PrepareError(RequestAttemptError::DbError(
                DbError::Unauthorized,
                text,
            )) => Error::Refused(format!("the database at {place} does not show its tables: {text}")),
            _ => failed("connecting", error),
        },
        _ => failed("connecting", error),
    }
}

fn of_setup(place: &str, error: &ConnectionSetupRequestErrorKind) -> Error {
    match error {
        // A node that cannot read the passwords, as it reaches too few of its peers, answers by the same
        // code: only a text that says that they are wrong is final.
        ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError, text)
            if text.contains("incorrect") =>
        {
            Error::Refused(format!(
                "the database at {place} does not accept the user and password ({text}); correct them"
            ))
        }
        ConnectionSetupRequestErrorKind::MissingAuthentication => Error::Refused(format!(
            "the database at {place} asks for a user and password, and none are configured; name them"
        )),
        _ => failed("connecting", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: DbError, text: &str) -> Error {
        let error = RequestAttemptError::DbError(error, text.to_owned());
        of_statement("a statement", &ExecutionError::LastAttemptError(error))
    }

    #[test]
    fn what_passes_is_no_refusal() {
        let lacks = "User x has no SELECT permission on <table k.meta> or any of its parents";
        assert!(matches!(of(DbError::Unauthorized, lacks), Error::Refused(text) if text.contains(lacks)));
        // What Cassandra 5.0 says while the node with the passwords stands still.
        let late = "Unable to perform authorization of super-user permission: Operation timed out";
        assert!(matches!(of(DbError::Unauthorized, late), Error::Failed(_)));
        assert!(matches!(of(DbError::Invalid, "table meta does not exist"), Error::Failed(_)));
        assert!(matches!(of(DbError::Overloaded, "busy"), Error::Failed(_)));
    }
}
