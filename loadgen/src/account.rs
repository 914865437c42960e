//! Who the clients are: numbered accounts with one device each, and the tokens that say so.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;

use crate::plan::{AccountsPlan, TokenSource};

/// Longer than any run.
const TOKEN_TTL_S: u64 = 7 * 24 * 3600;

/// The device of every account whose token is made here.
const DEVICE: &str = "phone";

/// A worker's accounts.
pub struct Accounts {
    plan: AccountsPlan,
    tokens: Tokens,
    /// Tokens of accounts that send: these are few, and send often.
    sending: HashMap<u32, Rc<str>>,
}

/// How an account comes by its token.
enum Tokens {
    /// Signed each time: that takes two microseconds, and kept it would be a third of an idle stream.
    Signed(Secret),
    /// One for each account, as they were read.
    Read(Vec<Known>),
    /// Asked for once for each account.
    Asked(Vec<Box<str>>),
    None,
}

/// An account of a tokens file.
struct Known {
    account: Box<str>,
    device: Box<str>,
    token: Box<str>,
}

impl Accounts {
    /// # Errors
    /// When a tokens file cannot be read, or has too few.
    pub fn new(plan: &AccountsPlan, source: &TokenSource) -> Result<Self> {
        let tokens = match source {
            TokenSource::Secret(secret) => Tokens::Signed(Secret(secret.as_bytes().to_vec())),
            TokenSource::File(file) => Tokens::Read(read(file, plan)?),
            TokenSource::Dev => Tokens::Asked(vec![Box::default(); plan.count as usize]),
            TokenSource::OfHost => {
                bail!("this worker's host has no tokens: start it with --token-secret-file or --tokens, too")
            }
            TokenSource::None => Tokens::None,
        };
        Ok(Self { plan: plan.clone(), tokens, sending: HashMap::new() })
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.plan.count
    }

    /// The id of an account.
    pub fn name(&self, account: u32) -> String {
        match &self.tokens {
            Tokens::Read(known) => known[account as usize].account.to_string(),
            _ => format!("{}{}", self.plan.prefix, self.plan.first + u64::from(account)),
        }
    }

    /// The id of its device.
    pub fn device(&self, account: u32) -> &str {
        match &self.tokens {
            Tokens::Read(known) => &known[account as usize].device,
            _ => DEVICE,
        }
    }

    /// Its token; empty where there is none.
    pub fn token(&self, account: u32) -> String {
        match &self.tokens {
            Tokens::Signed(secret) => secret.token(&self.name(account), DEVICE),
            Tokens::Read(known) => known[account as usize].token.to_string(),
            Tokens::Asked(tokens) => tokens[account as usize].to_string(),
            Tokens::None => String::new(),
        }
    }

    /// The token of an account that will want it again.
    pub fn kept_token(&mut self, account: u32) -> Rc<str> {
        if let Some(token) = self.sending.get(&account) {
            return Rc::clone(token);
        }
        let token: Rc<str> = self.token(account).into();
        self.sending.insert(account, Rc::clone(&token));
        token
    }

    /// Takes the token that the server gave an account.
    pub fn keep(&mut self, account: u32, token: String) {
        if let Tokens::Asked(tokens) = &mut self.tokens {
            tokens[account as usize] = token.into();
        }
    }
}

/// A worker's lines of a tokens file.
fn read(file: &Path, plan: &AccountsPlan) -> Result<Vec<Known>> {
    let lines = BufReader::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?);
    let mut known = Vec::with_capacity(plan.count as usize);
    let wanted = plan.first as usize..plan.first as usize + plan.count as usize;
    for (number, line) in lines.lines().enumerate().take(wanted.end).skip(wanted.start) {
        let line = line.with_context(|| format!("cannot read {}", file.display()))?;
        let read = Known::parse(line.trim());
        known.push(read.with_context(|| format!("{}, line {}", file.display(), number + 1))?);
    }
    ensure!(
        known.len() == plan.count as usize,
        "{} has too few tokens: line {} is asked for; lower --streams",
        file.display(),
        wanted.end
    );
    Ok(known)
}

impl Known {
    /// Who it is stands in the token's claims. Whether it is valid is the server's business.
    fn parse(token: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Claims {
            sub: Box<str>,
            dev: Box<str>,
        }
        let Some(claims) = token.split('.').nth(1) else { bail!("a line must be a JWT and nothing else") };
        let claims = URL_SAFE_NO_PAD.decode(claims).context("the claims are no base64url")?;
        let Claims { sub, dev } =
            serde_json::from_slice(&claims).context("the claims must have sub and dev")?;
        Ok(Self { account: sub, device: dev, token: token.into() })
    }
}

/// What signs tokens (HS256).
struct Secret(Vec<u8>);

impl Secret {
    /// A token for a device of an account (RFC 7519).
    fn token(&self, account: &str, device: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let head = json!({"alg": "HS256", "typ": "JWT"});
        let claims = json!({"sub": account, "dev": device, "iat": now, "exp": now + TOKEN_TTL_S});
        let [head, claims] = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{head}.{claims}");
        let mac = self.mac(&signed);
        format!("{signed}.{mac}")
    }

    fn mac(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;

    use super::*;

    fn plan(first: u64, count: u32) -> AccountsPlan {
        AccountsPlan { prefix: "load-".into(), first, count }
    }

    #[test]
    fn the_signature_is_that_of_rfc_7515() {
        // Appendix A.1: key, signing input and signature.
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let secret = Secret(URL_SAFE_NO_PAD.decode(key).unwrap());
        assert_eq!(secret.mac(input), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn accounts_are_numbered_from_the_plans_first() {
        let accounts = Accounts::new(&plan(7, 2), &TokenSource::Secret("s".into())).unwrap();
        assert_eq!((accounts.name(0), accounts.name(1)), ("load-7".into(), "load-8".into()));
        let known = Known::parse(&accounts.token(1)).unwrap();
        assert_eq!((&*known.account, &*known.device), ("load-8", "phone"));
    }

    #[test]
    fn a_tokens_file_says_who_they_are() {
        let secret = Secret(b"s".to_vec());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for account in ["ann", "bob|x", "carl"] {
            writeln!(file, "{}", secret.token(account, "tablet")).unwrap();
        }
        let source = TokenSource::File(file.path().to_owned());
        let accounts = Accounts::new(&plan(1, 2), &source).unwrap();
        assert_eq!((accounts.name(0), accounts.device(0)), ("bob|x".into(), "tablet"));
        assert_eq!(accounts.token(1).split('.').count(), 3);
        let few = Accounts::new(&plan(1, 3), &source).err().unwrap().to_string();
        assert!(few.contains("line 4"), "{few}");
        writeln!(file, "nonsense").unwrap();
        let wrong = format!("{:#}", Accounts::new(&plan(1, 3), &source).err().unwrap());
        assert!(wrong.contains("line 4") && wrong.contains("JWT"), "{wrong}");
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert_eq!(format!("{:?}", TokenSource::Secret("swordfish".into())), "Secret(…)");
    }
}
