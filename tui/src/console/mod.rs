//! The console: a cluster seen from outside, live, by a program that is client and administrator.
//!
//! Used by the binary (`piazza console`, `piazza up` on a terminal) and by demos. Knows the cluster
//! only through `protocol`. One way for data: what comes in changes the `model`, keys change the
//! `state`, the `screen` draws both, and what is to be done goes out as an `effect`.
//!
//! - `model`: what is known, a fold over what comes in
//! - `state`: what a person has chosen; inputs in, effects out; `action`, `keys`, `effect`: its
//!   words
//! - `views`: the six views; `screen`: the whole of what is drawn, around them
//! - `run`: the loop, the only part with sockets and a clock
//! - `config`: the person's own settings, as text
//! - `caption`: what a demo shows of itself; `shop`: how its shop goes, if it has one
//! - `recording`: what a console was fed, as a file's lines
//! - `look`: colours and glyphs; `widgets`: what views are made of: they know nothing of clusters

pub mod action;
pub mod caption;
pub mod config;
pub mod effect;
pub mod keys;
pub mod look;
pub mod model;
pub mod recording;
pub mod run;
pub mod screen;
pub mod shop;
pub mod state;
pub mod views;
pub mod widgets;

#[cfg(test)]
mod frames;
#[cfg(test)]
pub(crate) mod testing;
