//! The demos that come with the program.
//!
//! Their texts lie in `demos/`, beside what explains them.

/// A demo's name and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// By what name it is played.
    pub name: &'static str,
    /// As it is written.
    pub text: &'static str,
}

macro_rules! demos {
    ($($name:literal),* $(,)?) => {
        &[$(Listed {
            name: $name,
            text: include_str!(concat!("../../../demos/", $name, ".demo")),
        }),*]
    };
}

/// All of them, in the order in which somebody new should see them.
pub const DEMOS: &[Listed] = demos!(
    "tour",
    "kill-primary",
    "kill-coordinator",
    "two-phase-commit",
    "second-chance",
    "ring",
    "heal",
    "partition-or-pause",
    "group-commit",
    "shopping",
);

/// The one of that name.
pub fn named(name: &str) -> Option<&'static Listed> {
    DEMOS.iter().find(|listed| listed.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{TAKES_MS_MAX, parse};

    #[test]
    fn every_demo_is_right_and_short_enough() {
        for Listed { name, text } in DEMOS {
            let script = parse(name, text).unwrap_or_else(|problems| {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                panic!("{name}.demo:\n{}", lines.join("\n"))
            });
            assert!(script.takes_ms <= TAKES_MS_MAX, "{name}");
            assert!(script.about.chars().count() <= 78, "{name}: what it is about is too long");
        }
    }
}
