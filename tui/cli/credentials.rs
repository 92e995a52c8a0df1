//! The token that a client command shows: `--token-file`, else `PIAZZA_TOKEN`.
//!
//! Part of every command that talks to a server. A token is never an argument: those can be read by
//! everybody on the machine.

use std::path::PathBuf;

use cluster::tokens;
use protocol::token::Token;

use crate::print::Failure;

/// Where the token is.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Credentials {
    /// A private file with the token that the cluster wants [default: the text in PIAZZA_TOKEN].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Credentials {
    /// The token, if there is one.
    pub(crate) fn token(&self) -> Result<Option<Token>, Failure> {
        let from_env = std::env::var_os("PIAZZA_TOKEN").filter(|text| !text.is_empty());
        match (&self.token_file, from_env) {
            (Some(path), _) => tokens::read(path)
                .map(Some)
                .map_err(|error| Failure::usage(format!("--token-file: {error}"))),
            (None, Some(text)) => {
                let wrong = |why: &str| Failure::usage(format!("PIAZZA_TOKEN: {why}"));
                let text = text.to_str().ok_or_else(|| wrong("the token is not UTF-8"))?;
                Token::new(text).map(Some).map_err(|error| wrong(&error.to_string()))
            }
            (None, None) => Ok(None),
        }
    }
}
