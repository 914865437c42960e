//! Accounts in pairs that write to one another.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::{Target, account, request};

/// Two accounts with a direct conversation.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Their tokens.
    pub(crate) tokens: [String; 2],
    /// The id of their conversation.
    pub(crate) conversation: String,
}

/// Opens the conversations of accounts 0 and 1, 2 and 3 and so on.
pub(crate) async fn open(target: &Target, pairs: usize) -> Result<Vec<Pair>> {
    let mut connection = Connection::open(target.address).await?;
    let mut opened = Vec::with_capacity(pairs);
    for pair in 0..pairs {
        let [one, other] = [2 * pair, 2 * pair + 1].map(account::name);
        let tokens = [&one, &other].map(|account| target.secret.token(account));
        let body = json!({"kind": "direct", "members": [other]}).to_string();
        let answer = connection.exchange(&request::post("/v1/conversations", &tokens[0], &body)).await?;
        let shown = answer.body.escape_ascii();
        ensure!(answer.status == 201, "a conversation was answered {}: {shown}", answer.status);
        let answered: Value = serde_json::from_slice(answer.body).context("the answer is no JSON")?;
        let conversation = answered["id"].as_str().context("a conversation without an id")?.to_owned();
        opened.push(Pair { tokens, conversation });
    }
    Ok(opened)
}
