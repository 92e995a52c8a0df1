//! The person's own settings of the console: keys, theme, and whether it asks.
//!
//! Read by `console` from `piazza/console.json` in `XDG_CONFIG_HOME`, else `~/.config`. A file that
//! is not there means nothing; one that is wrong is told, with what is wrong and where.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use tui::console::config::Config;

use crate::print::Failure;
use crate::settings_file;

/// The person's settings; the usual ones where there is no file.
pub(super) fn read() -> Result<Config, Failure> {
    let text = match path(|name| std::env::var_os(name)) {
        Some(path) => read_file(&path),
        None => Config::parse(""),
    };
    text.map_err(Failure::usage)
}

fn read_file(path: &Path) -> Result<Config, String> {
    let text = match settings_file::read(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error.to_string()),
    };
    let config = text.and_then(|text| Config::parse(&text));
    config.map_err(|why| format!("{}: {why}", path.display()))
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
