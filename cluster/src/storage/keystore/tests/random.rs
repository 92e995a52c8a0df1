//! Random things done to a keystore and to the model, with crashes between checkpoints.

use std::collections::BTreeSet;

use protocol::peer::Extent;

use super::*;

type Restart<'a, K> = &'a mut dyn FnMut(K, &mut Source, &[Model]) -> (K, Model);

/// A keystore and what it should be.
struct Run<K> {
    source: Source,
    keystore: K,
    /// The state after each step since the last checkpoint.
    states: Vec<Model>,
    under_way: Option<(Checkpoint, usize)>,
    /// By which its keys are counted.
    ranges: By,
    /// By which they are being counted.
    anew: Option<By>,
    /// Applied since anything was dropped.
    done: Vec<(Vec<Committed>, GroupSeq)>,
    /// What is being dropped, and where that goes on.
    retain: Option<(Vec<Span>, Option<Key>)>,
}

impl<K: Keystore> Run<K> {
    fn new(source: Source, keystore: K, model: Model) -> Self {
        let (states, ranges, done) = (vec![model], By::default(), Vec::new());
        let (under_way, anew, retain) = (None, None, None);
        Self { source, keystore, states, under_way, ranges, anew, done, retain }
    }

    fn model(&self) -> &Model {
        self.states.last().unwrap()
    }

    fn change(&mut self, change: impl FnOnce(&mut Model)) {
        let mut model = self.model().clone();
        change(&mut model);
        self.states.push(model);
    }

    fn apply(&mut self, writes: &[Committed], through: GroupSeq) {
        self.keystore.apply(writes, through).unwrap();
        self.change(|model| model.apply(writes, through));
    }

    /// Does one random thing.
    fn step(&mut self) {
        match self.source.below(21) {
            0..=5 => {
                let mut writes = batch(&mut self.source);
                settle(&mut writes);
                let through = self.model().through.next();
                self.apply(&writes, through);
                self.done.push((writes, through));
            }
            6 => self.replay(),
            7 if self.under_way.is_none() => {
                assert_eq!(self.keystore.checkpoint().unwrap(), self.model().through);
                self.states.drain(..self.states.len() - 1);
                assert_eq!(self.keystore.unsaved_bytes(), 0);
            }
            8 if self.under_way.is_none() => {
                let work = self.keystore.begin_checkpoint().unwrap();
                self.under_way = Some((work, self.states.len() - 1));
            }
            9 => {
                if let Some((work, at)) = self.under_way.take() {
                    assert!(self.keystore.begin_checkpoint().is_none());
                    let through = self.keystore.end_checkpoint(work.run()).unwrap();
                    assert_eq!(through, self.states[at].through);
                    self.states.drain(..at);
                }
            }
            10 => self.set_ranges(),
            11..=12 => {
                let from = Version::new(Epoch(1), self.source.below(400));
                self.keystore.drop_onces(from).unwrap();
                self.change(|model| model.onces = model.onces.split_off(&from));
            }
            13 => {
                let draw = |source: &mut Source| Version::new(Epoch(1), source.below(400));
                let entry = |_| once_entry(draw(&mut self.source));
                let entries: Vec<_> = (0..3).map(entry).collect();
                self.keystore.keep_onces(&entries).unwrap();
                let entries = entries.into_iter().map(|entry| (entry.version, entry));
                self.change(|model| model.onces.extend(entries));
            }
            14..=15 => self.retain(),
            16 => self.sweep(),
            17 => self.drop_others(),
            _ => {
                let looks_max = 1 + self.source.below(15) as usize;
                let left = self.keystore.recount_step(looks_max).unwrap();
                if !left && let Some(anew) = self.anew.take() {
                    self.ranges = anew;
                }
                assert_eq!(left, self.anew.is_some());
            }
        }
    }

    /// Applied again, as after a restart: nothing changes.
    fn replay(&mut self) {
        let from = self.source.below(self.done.len() as u64 + 1) as usize;
        let counts = self.keystore.ranges().clone();
        let again = self.done.split_off(from);
        for (writes, through) in &again {
            self.apply(writes, *through);
        }
        self.done.extend(again);
        assert_eq!(*self.keystore.ranges(), counts);
    }

    fn set_ranges(&mut self) {
        let mut wanted = by(&mut self.source);
        if self.source.below(3) == 0 {
            wanted = self.ranges.clone();
            wanted.points.retain(|_| self.source.below(3) > 0);
        }
        self.keystore.set_ranges(wanted.placement, &wanted.points);
        let By { placement, points } = &self.ranges;
        let stay = (wanted.placement, *placement) == (Placement::Ring, Placement::Ring);
        if wanted == self.ranges || stay && wanted.points.iter().all(|at| points.contains(at)) {
            (self.ranges, self.anew) = (wanted, None);
        } else {
            self.anew = Some(wanted);
        }
    }

    /// Loses what it must, and begins anew with what is left.
    fn restart(self, restart: Restart<'_, K>) -> Self {
        let Self { mut source, keystore, states, under_way, ranges, mut done, .. } = self;
        drop(under_way);
        let (mut keystore, model) = restart(keystore, &mut source, &states);
        assert_eq!(keystore.checkpointed(), model.through);
        let points = keystore.ranges().points().to_vec();
        check(&keystore, &model, &By { placement: keystore.ranges().placement(), points });
        count_by(&mut keystore, &ranges);
        done.retain(|(_, through)| *through <= model.through);
        Self { ranges, done, ..Self::new(source, keystore, model) }
    }

    /// Drops some of what lies outside of some stretches.
    fn retain(&mut self) {
        let (spans, after) = self.retain.take().unwrap_or_else(|| {
            let draw = |source: &mut Source| (Point(source.next()), Point(source.next()));
            ((0..1 + self.source.below(3)).map(|_| draw(&mut self.source)).collect(), None)
        });
        let looks_max = 1 + self.source.below(40) as usize;
        let through = self.keystore.retain(&spans, after.as_ref(), looks_max).unwrap();
        let mut model = self.model().clone();
        let outside = |key: &Key| !lies_in(&spans, hash_of(key));
        let looked = model.between(after.as_ref(), through.as_ref());
        let dropped: Vec<_> = looked.iter().filter(|key| outside(key)).collect();
        let is_there = |key: &&Key| self.keystore.get(key).unwrap().is_some();
        if looked.len() > looks_max || dropped.iter().any(is_there) {
            assert!(through.is_none() && dropped.iter().all(is_there));
            assert!(!model.live().keys().any(outside), "only tombstones may stay");
        } else {
            dropped.into_iter().for_each(|key| drop(model.keys.remove(key)));
        }
        if through.is_none() {
            model.onces.retain(|_, entry| lies_in(&spans, entry.hash));
        } else {
            self.retain = Some((spans, through));
        }
        self.states.push(model);
        self.done.clear();
    }

    /// Drops tombstones of low versions, in steps.
    fn sweep(&mut self) {
        let below = Version::new(Epoch(1), self.source.below(400));
        let mut after = None;
        loop {
            let looks_max = 1 + self.source.below(40) as usize;
            let (dropped, through) = self.keystore.sweep(below, after.as_ref(), looks_max).unwrap();
            let mut model = self.model().clone();
            let looked = model.between(after.as_ref(), through.as_ref());
            let goes = |key: &&Key| matches!(model.keys[*key], (at, None) if at < below);
            let gone: Vec<Key> = looked.iter().filter(goes).cloned().collect();
            assert!(looked.len() <= looks_max && gone.len() as u64 == dropped);
            gone.iter().for_each(|key| drop(model.keys.remove(key)));
            self.states.push(model);
            self.done.clear();
            after = through;
            if after.is_none() {
                return;
            }
        }
    }

    /// Takes some records for a portion that is whole, and drops what it does not have.
    fn drop_others(&mut self) {
        let draw = |source: &mut Source| (Point(source.next()), Point(source.next()));
        let spans: Vec<Span> =
            (0..1 + self.source.below(3)).map(|_| draw(&mut self.source)).collect();
        let all = self.model().between(None, None);
        let mut end = || {
            let place = self.source.below(all.len() as u64 + 1) as usize;
            all.get(place).cloned()
        };
        let (after, through) = (end(), end());
        let keep: BTreeSet<Key> =
            all.iter().filter(|_| self.source.below(2) == 0).cloned().collect();
        let below = Version::new(Epoch(1), self.source.below(400));
        let mut extent = Extent { spans, after, through, below };
        loop {
            let looks_max = 1 + self.source.below(40) as usize;
            let (dropped, through) = self.keystore.drop_others(&extent, &keep, looks_max).unwrap();
            let mut model = self.model().clone();
            let end = through.as_ref().or(extent.through.as_ref());
            let looked = model.between(extent.after.as_ref(), end);
            let goes = |key: &&Key| {
                let inside = lies_in(&extent.spans, hash_of(key));
                inside && model.keys[*key].0 < below && !keep.contains(*key)
            };
            let gone: Vec<Key> = looked.iter().filter(goes).cloned().collect();
            assert!(looked.len() <= looks_max && gone.len() as u64 == dropped);
            gone.iter().for_each(|key| drop(model.keys.remove(key)));
            self.states.push(model);
            self.done.clear();
            let Some(through) = through else { return };
            extent.after = Some(through);
        }
    }
}

/// Does `steps` random things to a keystore and to the model. `restart` loses what it must.
fn run<K: Keystore>(seed: u64, steps: usize, keystore: K, restart: Restart<'_, K>) {
    let mut run = Run::new(Source(seed), keystore, Model::default());
    for _ in 0..steps {
        if run.source.below(16) == 0 {
            run = run.restart(restart);
        } else {
            run.step();
        }
        let model = run.model();
        check(&run.keystore, model, &run.ranges);
        assert_eq!(run.keystore.ranges().counts(), recount(model, &run.ranges));
        assert_eq!(run.keystore.checkpointed(), run.states[0].through);
    }
}

#[test]
fn memory_does_what_the_model_does_and_crashes_to_any_prefix() {
    for seed in 0..60 {
        run(seed, 160, MemoryKeystore::new(), &mut |mut keystore, source, states| {
            assert_eq!(keystore.unsaved_batches(), states.len() - 1);
            let keep = source.below(states.len() as u64) as usize;
            keystore.crash(keep);
            (keystore, states[keep].clone())
        });
    }
}

/// Contract: "Per-range key counts ... are part of the checkpoint, not recounted at start"
#[test]
fn fjall_does_what_the_model_does_and_restarts_at_its_checkpoint() {
    for seed in 100..106 {
        let directory = Directory::new();
        let first = directory.open().unwrap();
        run(seed, 160, first, &mut |keystore, _, states| {
            drop(keystore);
            (directory.open().unwrap(), states[0].clone())
        });
    }
}
