//! What a line means before anything is done with it: its words, what may be typed, what completes
//! it, and where it is wrong.
//!
//! Pure. The grammar itself is that of the command line, which the binary hands over as a
//! [`Catalog`]: there is no second list of commands here.
//!
//! - `words`: quotes and escapes, both ways
//! - `catalog`: commands, their options and what their places take
//! - `complete`: what may stand where the cursor is
//! - `nearest`: what was probably meant
//! - `problem`: a remark with a mark under the place it is about

mod catalog;
mod complete;
mod nearest;
mod problem;
mod words;

pub use catalog::{Catalog, Choice, Command, Takes};
pub(crate) use complete::common_beginning;
pub use complete::{KeyQuestion, Wanted, wanted};
pub use nearest::nearest;
pub use problem::Problem;
pub use words::{Word, quote, split};

#[cfg(test)]
mod tests;
