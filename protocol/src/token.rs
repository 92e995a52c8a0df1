//! A token: the text that a connection shows to say what it may do.
//!
//! Held by clients and read from files by servers. Never printed: its `Debug` is a word.

use std::fmt;

/// Fewest bytes of a token.
pub const TOKEN_BYTES_MIN: usize = 32;
/// Most bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// A token.
#[derive(Clone)]
pub struct Token(String);

/// Why a text is no token. It never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidToken(String);

impl Token {
    /// The token `text`: [`TOKEN_BYTES_MIN`] to [`TOKEN_BYTES_MAX`] bytes without control
    /// characters.
    ///
    /// # Errors
    /// What it is instead, and what to do.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        let bytes = text.len();
        if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&bytes) {
            return Err(InvalidToken(format!(
                "the token has {bytes} bytes, not {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX}: make \
                 one with `piazza token new FILE`"
            )));
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidToken(
                "the token has a control character or more than one line: make one with `piazza \
                 token new FILE`"
                    .to_owned(),
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The secret itself.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_length_and_is_never_shown() {
        for length in [32, 64, 4096] {
            assert!(Token::new(&"x".repeat(length)).is_ok());
        }
        for wrong in ["", &"x".repeat(31), &"x".repeat(4097), &"x\n".repeat(32)] {
            let error = Token::new(wrong).unwrap_err().to_string();
            assert!(error.contains("piazza token new") && !error.contains("xx"), "{error}");
        }
        let token = Token::new(&"s3cret".repeat(6)).unwrap();
        assert!(!format!("{token:?}").contains("s3cret"));
    }
}
