//! Takes tokens out of a line before it is written.
//!
//! A JWT is known by its looks: it is three base64url parts with dots between them, and the first
//! is a JSON object, which in base64 always begins with `eyJ`. A token reaches a log by accident:
//! in a URL (`?access_token=`), in an error of a library that quotes its input.

/// What stands in the line instead of a token.
pub const MASK: &[u8] = b"[token]";

/// How a JSON object that begins with `{"` looks in base64.
const START: &[u8] = b"eyJ";

/// Replaces every JWT in `line` by [`MASK`]; whole, also when it was cut off after the first dot.
pub fn tokens(line: &mut Vec<u8>) {
    let mut from = 0;
    while let Some(start) = find(line, from) {
        match end_of_token(&line[start..]) {
            Some(len) => {
                line.splice(start..start + len, MASK.iter().copied());
                from = start + MASK.len();
            }
            None => from = start + START.len(),
        }
    }
}

fn find(line: &[u8], from: usize) -> Option<usize> {
    line[from..].windows(START.len()).position(|window| window == START).map(|at| from + at)
}

/// Length of the token at the beginning of `text`, if there is one: header, dot, and all that
/// follows of base64url and dots.
fn end_of_token(text: &[u8]) -> Option<usize> {
    let header = text.iter().position(|&b| !is_base64url(b)).filter(|&at| text[at] == b'.')?;
    let rest = &text[header..];
    Some(header + rest.iter().position(|&b| !is_base64url(b) && b != b'.').unwrap_or(rest.len()))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.q0_-tHWk";

    fn masked(line: &str) -> String {
        let mut line = line.as_bytes().to_vec();
        tokens(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn masks_every_token() {
        assert_eq!(
            masked(&format!("GET /v1/events?access_token={TOKEN}&x=1 then \"Bearer {TOKEN}\"\n")),
            "GET /v1/events?access_token=[token]&x=1 then \"Bearer [token]\"\n"
        );
        assert_eq!(masked(TOKEN), "[token]");
    }

    #[test]
    fn masks_what_is_left_of_a_token_that_was_cut() {
        assert_eq!(masked("bad token eyJhbGciOiJIUzI1NiJ9.eyJzd"), "bad token [token]");
        assert_eq!(masked("bad token eyJhbGciOiJIUzI1NiJ9."), "bad token [token]");
    }

    #[test]
    fn leaves_everything_else() {
        for line in ["", "e", "eyJ", "eyJabc def", "keyJudge stands here. And on", "äöü eyJ"] {
            assert_eq!(masked(line), line);
        }
    }
}
