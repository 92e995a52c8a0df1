//! A demo in the place of a person: what its player orders is done, what it says is shown.
//!
//! Part of the loop, which asks it in each turn.

use std::sync::Arc;
use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::time::Instant;

use super::file::RecordError;
use super::turn::{End, Turns};
use crate::console::effect::Effect;
use crate::console::screen;
use crate::console::shop::Shop;
use crate::console::state::{Console, Input};
use crate::demo::player::{Note, Order, Player, What};
use crate::demo::script::{Load, ShopPlan};
use crate::prompt::Key;

/// Who does for a demo what is no matter of the console's.
pub trait Stage {
    /// Asks this of the cluster in the background, in place of what was asked before.
    fn load(&mut self, load: Option<&Load>);

    /// Opens a shop on the cluster.
    fn open_shop(&mut self, plan: &ShopPlan);

    /// Closes it, if there is one that is open, and has it checked.
    fn close_shop(&mut self);

    /// How it goes, or went; none: there was none.
    fn shop(&self) -> Option<Shop>;

    /// Takes what the demo did; with the screen as text where that is wanted: of a shot, of a
    /// failure, at the end.
    fn note(&mut self, note: &Note, picture: Option<&str>);
}

/// A demo that is played.
pub(super) struct Playing<'a> {
    player: Player,
    stage: &'a mut dyn Stage,
    /// The screen as it was when each caption but the present one was replaced.
    past: Vec<Arc<Buffer>>,
}

/// Orders that are carried out before the cluster and the person are heard again.
const ORDERS_AT_ONCE: usize = 64;
/// Screens that are kept to come back to.
const PAST_MAX: usize = 64;

impl<'a> Playing<'a> {
    pub(super) fn new(player: Player, stage: &'a mut dyn Stage) -> Self {
        Self { player, stage, past: Vec::new() }
    }
}

/// What is on the screen.
fn drawn(console: &Console) -> Buffer {
    let (columns, rows) = console.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    screen::draw(console, &mut buffer);
    buffer
}

impl Turns<'_> {
    /// Does what the demo has to do now.
    pub(super) fn play(&mut self) -> Result<(), RecordError> {
        for _ in 0..ORDERS_AT_ONCE {
            let now = self.now();
            // Waits are measured on the model's clock too.
            self.console.model.tick(now);
            let Some(playing) = &mut self.playing else { return Ok(()) };
            self.console.shop = playing.stage.shop();
            let orders = playing.player.turn(now, &self.console);
            if orders.is_empty() {
                break;
            }
            self.dirty = true;
            for order in orders {
                self.obey(order)?;
            }
        }
        self.show_caption();
        Ok(())
    }

    /// When the demo has something to do though nothing comes, if it ever has.
    pub(super) fn next_step(&self) -> (bool, Instant) {
        let due = self.playing.as_ref().and_then(|playing| playing.player.due(self.now()));
        let wait = due.map_or(0, |due| due.us_since(self.now()));
        // A moment more, so that it has come by then.
        (due.is_some(), Instant::now() + Duration::from_micros(wait + 500))
    }

    /// Gives a person's key to the demo.
    pub(super) fn play_key(&mut self, key: &Key) -> Result<(), RecordError> {
        let now = self.now();
        if let Some(playing) = &mut self.playing {
            playing.player.key(key, now);
        }
        if *key == Key::Ctrl('z') {
            return self.carry_out(Effect::Suspend);
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) -> Result<(), RecordError> {
        match order {
            Order::Key(key) => self.handle(Input::Key(key))?,
            Order::Act(action) => {
                for effect in self.console.act_now(action) {
                    self.carry_out(effect)?;
                }
            }
            Order::Select(server) => self.console.selected = server,
            Order::Run(line) => {
                for effect in self.console.run_line(&line) {
                    self.carry_out(effect)?;
                }
            }
            Order::Process(action) => self.carry_out(Effect::Process(action))?,
            Order::Member(order) => self.carry_out(Effect::Member(order))?,
            Order::Load(load) => self.on_stage(|stage| stage.load(Some(&load))),
            Order::Unload => self.on_stage(|stage| stage.load(None)),
            Order::Shop(plan) => self.on_stage(|stage| stage.open_shop(&plan)),
            Order::CloseShop => self.on_stage(|stage| stage.close_shop()),
            Order::Remember => {
                let picture = Arc::new(drawn(&self.console));
                if let Some(playing) = self.playing.as_mut().filter(|p| p.past.len() < PAST_MAX) {
                    playing.past.push(picture);
                }
            }
            Order::Note(note) => {
                self.show_caption();
                let is_shown =
                    matches!(note.what, What::Shot(_) | What::Unmet { .. } | What::Passed);
                let picture = is_shown.then(|| screen::text_of(&drawn(&self.console)));
                self.on_stage(|stage| stage.note(&note, picture.as_deref()));
            }
            Order::HandOver => {
                self.on_stage(|stage| stage.load(None));
                self.on_stage(|stage| stage.close_shop());
                self.playing = None;
                self.console.caption = None;
                self.console.remark("the cluster is yours: ? shows the keys, q ends it");
            }
            Order::End => {
                self.show_caption();
                self.draw()?;
                self.end = Some(End::Left);
            }
        }
        Ok(())
    }

    fn on_stage(&mut self, tell: impl FnOnce(&mut dyn Stage)) {
        if let Some(playing) = &mut self.playing {
            tell(playing.stage);
        }
    }

    fn show_caption(&mut self) {
        let now = self.now();
        let Some(playing) = &self.playing else { return };
        let (mut caption, looks) = playing.player.shown(now);
        // What was on the screen under a caption was remembered when the next one came.
        caption.past = looks.and_then(|at| playing.past.get(at + 1).cloned());
        let changed = self.console.caption.as_ref().is_none_or(|old| {
            (&old.text, old.step, &old.deed, old.doing, old.speed)
                != (&caption.text, caption.step, &caption.deed, caption.doing, caption.speed)
        });
        self.dirty |= changed;
        self.console.caption = Some(caption);
    }
}
