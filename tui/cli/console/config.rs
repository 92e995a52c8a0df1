//! The person's own settings of the console: keys, theme, and whether it asks.
//!
//! Read by `console` from `piazza/console.json` in `XDG_CONFIG_HOME`, else `~/.config`. A file that
//! is not there means nothing; one that is wrong is told, with what is wrong and where.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tui::console::keys::{Keys, key_named};
use tui::console::look::ThemeName;
use tui::prompt::Key;

use crate::print::Failure;
use crate::settings_file;

/// What was settled.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) keys: Keys,
    pub(super) theme: Option<ThemeName>,
    /// None: as the terminal's language says.
    pub(super) ascii: Option<bool>,
    pub(super) confirm: bool,
    pub(super) mouse: bool,
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
    /// The person's settings; the usual ones where there is no file.
    pub(super) fn read() -> Result<Self, Failure> {
        match path(|name| std::env::var_os(name)) {
            Some(path) => Self::read_file(&path),
            None => Self::of(Written::default()),
        }
        .map_err(Failure::usage)
    }

    fn read_file(path: &Path) -> Result<Self, String> {
        let wrong = |why: String| format!("{}: {why}", path.display());
        let text = match settings_file::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let written: Written = match text.trim() {
            "" => Written::default(),
            text => serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?,
        };
        Self::of(written).map_err(wrong)
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

/// Whether the language that the environment names is written in something else than UTF-8: then a
/// terminal would show signs that nobody meant. Nothing named: nothing known.
pub(super) fn is_plain(env: impl Fn(&str) -> Option<OsString>) -> bool {
    let named = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(env);
    let language = named.into_iter().find(|value| !value.is_empty());
    language.is_some_and(|language| {
        let language = language.to_string_lossy().to_ascii_lowercase();
        !language.contains("utf-8") && !language.contains("utf8")
    })
}

/// Where the file is, if there is a place for it.
fn path(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(base.join("piazza").join("console.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Config, String> {
        Config::of(serde_json::from_str(text).map_err(|error| error.to_string())?)
    }

    #[test]
    fn keys_and_theme_are_read_and_what_is_wrong_is_told() {
        let config = of(r#"{"theme":"light","confirm":false,"keys":{"kill":["Ctrl-k","X"]}}"#);
        let config = config.unwrap();
        assert_eq!((config.theme, config.confirm), (Some(ThemeName::Light), false));
        for (text, word) in [
            (r#"{"theme":"pink"}"#, "pink"),
            (r#"{"colour":1}"#, "colour"),
            (r#"{"keys":{"kill":["Hyper-x"]}}"#, "Hyper-x"),
            (r#"{"keys":{"kil":["x"]}}"#, "kil"),
            (r#"{"keys":{"kill":["S"]}}"#, "both"),
        ] {
            let why = of(text).map(drop).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }

    #[test]
    fn a_language_without_utf_8_is_plain() {
        let env = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            }
        };
        for plain in [
            &[("LANG", "C")][..],
            &[("LC_ALL", "POSIX"), ("LANG", "en_GB.UTF-8")],
            &[("LC_ALL", ""), ("LC_CTYPE", "de_DE.ISO-8859-1"), ("LANG", "en_GB.UTF-8")],
        ] {
            assert!(is_plain(env(plain)), "{plain:?}");
        }
        for other in [
            &[][..],
            &[("LANG", "C.UTF-8")],
            &[("LC_CTYPE", "UTF-8"), ("LANG", "C")],
            &[("LC_ALL", "en_GB.utf8"), ("LANG", "C")],
        ] {
            assert!(!is_plain(env(other)), "{other:?}");
        }
    }

    #[test]
    fn the_file_is_where_such_files_are() {
        let env = |xdg: &'static str| {
            move |name: &str| Some(OsString::from(if name == "HOME" { "/h" } else { xdg }))
        };
        let expected = |path: &str| Some(PathBuf::from(path));
        assert_eq!(path(env("/x")), expected("/x/piazza/console.json"));
        assert_eq!(path(env("")), expected("/h/.config/piazza/console.json"));
        assert_eq!(path(|_| None), None);
    }
}
