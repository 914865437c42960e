//! Scripts that run inside Redis: called by their hash, sent whole when the server does not know them.

use redis::Cmd;

pub(crate) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    /// `EVALSHA`; `fill` appends the arguments.
    pub(crate) fn by_hash(&self, keys: &[&str], fill: &impl Fn(&mut Cmd)) -> Cmd {
        call("EVALSHA", &self.hash, keys, fill)
    }

    /// `EVAL`, after which the server knows the hash.
    pub(crate) fn by_text(&self, keys: &[&str], fill: &impl Fn(&mut Cmd)) -> Cmd {
        call("EVAL", self.text, keys, fill)
    }
}

fn call(name: &str, script: &str, keys: &[&str], fill: &impl Fn(&mut Cmd)) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len()).arg(keys);
    fill(&mut command);
    command
}
