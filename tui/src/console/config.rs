//! A person's own settings of the console as text: keys, theme, and whether it asks.
//!
//! Read from a file by the binary. What is wrong is told, with what is wrong and where. Pure: opens
//! no file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::keys::{Keys, key_named};
use super::look::ThemeName;
use crate::prompt::Key;

/// What was settled.
#[derive(Debug)]
pub struct Config {
    /// The key table.
    pub keys: Keys,
    /// None: as the terminal is.
    pub theme: Option<ThemeName>,
    /// None: as the terminal's language says.
    pub ascii: Option<bool>,
    /// Whether it asks before it does what cannot be undone.
    pub confirm: bool,
    /// Whether it takes the mouse.
    pub mouse: bool,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    theme: Option<String>,
    ascii: Option<bool>,
    confirm: Option<bool>,
    mouse: Option<bool>,
    /// By a key's name in the table, the keys that do it.
    keys: BTreeMap<String, Vec<String>>,
}

impl Config {
    /// Reads the text; of an empty one, the usual settings.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let written: Written = match text.trim() {
            "" => Written::default(),
            text => serde_json::from_str(text).map_err(|error| error.to_string())?,
        };
        Self::of(written)
    }

    fn of(written: Written) -> Result<Self, String> {
        let theme = written.theme.map(|name| name.parse::<ThemeName>()).transpose();
        let mut chosen: BTreeMap<String, Vec<Key>> = BTreeMap::new();
        for (name, keys) in written.keys {
            let named = |key: &String| {
                key_named(key).ok_or_else(|| {
                    format!("{key:?} is no key: write x, X, Ctrl-x, Alt-x, Space, Enter, Up, Home")
                })
            };
            chosen.insert(name, keys.iter().map(named).collect::<Result<_, _>>()?);
        }
        Ok(Self {
            keys: Keys::with(chosen)?,
            theme: theme.map_err(|error| error.to_string())?,
            ascii: written.ascii,
            confirm: written.confirm.unwrap_or(true),
            mouse: written.mouse.unwrap_or(true),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_theme_are_read_and_what_is_wrong_is_told() {
        let config =
            Config::parse(r#"{"theme":"light","confirm":false,"keys":{"kill":["Ctrl-k","X"]}}"#);
        let config = config.unwrap();
        assert_eq!((config.theme, config.confirm), (Some(ThemeName::Light), false));
        for (text, word) in [
            (r#"{"theme":"pink"}"#, "pink"),
            (r#"{"colour":1}"#, "colour"),
            (r#"{"keys":{"kill":["Hyper-x"]}}"#, "Hyper-x"),
            (r#"{"keys":{"kil":["x"]}}"#, "kil"),
            (r#"{"keys":{"kill":["S"]}}"#, "both"),
        ] {
            let why = Config::parse(text).map(drop).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
