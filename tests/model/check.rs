//! From a model to a verdict: breadth first through all that can happen, by `stateright`.
//!
//! The models call it. Never decides what is right: that is the model's `wrong`.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stateright::{Checker, HasDiscoveries, Model, Property};

/// More states than this, counted each time that one is reached, and a check is too dear for a
/// test.
const REACHED_MAX: usize = 20_000_000;
/// The claim that is always made.
const RIGHT: &str = "never wrong";

/// A world with rules.
pub(crate) trait Spec: Clone + fmt::Debug + Send + Sync + 'static {
    type State: Clone + Hash + Eq + fmt::Debug + Send + Sync + 'static;

    fn start(&self) -> Self::State;

    /// Everything that can happen next.
    fn steps(&self, state: &Self::State, steps: &mut Vec<Step<Self::State>>);

    /// What is wrong with the state, if anything.
    fn wrong(&self, state: &Self::State) -> Option<&'static str>;

    /// Outcomes that must be reachable: a world in which nothing happens is always right.
    fn outcomes(&self) -> Vec<Outcome<Self::State>>;
}

/// An outcome's name, and how to know it.
pub(crate) type Outcome<S> = (&'static str, fn(&S) -> bool);

/// One thing that can happen, and the state after it.
#[derive(Clone, PartialEq)]
pub(crate) struct Step<S> {
    /// Who does it: `A`, `C2`.
    pub(crate) who: (char, Option<u8>),
    pub(crate) what: &'static str,
    pub(crate) next: S,
}

impl<S> fmt::Debug for Step<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, number) = self.who;
        let number = number.map(|number| number.to_string()).unwrap_or_default();
        write!(f, "{name}{number} {}", self.what)
    }
}

/// The replica at this place, as a name.
pub(crate) fn node(place: usize) -> (char, Option<u8>) {
    (char::from(b'A' + place as u8), None)
}

/// The coordinator of this epoch, as a name.
pub(crate) fn coordinator(epoch: u8) -> (char, Option<u8>) {
    ('C', Some(epoch))
}

/// A model as the checker wants it.
struct Checked<S: Spec> {
    spec: S,
    outcomes: Vec<Outcome<S::State>>,
    /// Which of the outcomes some state had, as bits.
    seen: Arc<AtomicU32>,
}

impl<S: Spec> Model for Checked<S> {
    type State = S::State;
    type Action = Step<S::State>;

    fn init_states(&self) -> Vec<S::State> {
        vec![self.spec.start()]
    }

    fn actions(&self, state: &S::State, steps: &mut Vec<Self::Action>) {
        let seen = self.seen.load(Ordering::Relaxed);
        for (at, (_, is)) in self.outcomes.iter().enumerate() {
            if seen >> at & 1 == 0 && is(state) {
                self.seen.fetch_or(1 << at, Ordering::Relaxed);
            }
        }
        self.spec.steps(state, steps);
    }

    fn next_state(&self, _: &S::State, step: Self::Action) -> Option<S::State> {
        Some(step.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(RIGHT, |model, state| model.spec.wrong(state).is_none())]
    }
}

/// What a check came to.
struct Verdict<S: Spec> {
    states: usize,
    /// The shortest way to a wrong state: each state with the step out of it.
    trace: Option<Trace<S>>,
    /// Outcomes that were never reached.
    missing: Vec<&'static str>,
}

type Trace<S> = Vec<(<S as Spec>::State, Option<Step<<S as Spec>::State>>)>;

fn run<S: Spec>(spec: &S, depth_max: Option<usize>) -> Verdict<S> {
    let seen = Arc::new(AtomicU32::new(0));
    let outcomes = spec.outcomes();
    let names: Vec<&str> = outcomes.iter().map(|(name, _)| *name).collect();
    let model = Checked { spec: spec.clone(), outcomes, seen: seen.clone() };
    let builder = model.checker().threads(1).target_state_count(REACHED_MAX);
    let builder = builder.finish_when(HasDiscoveries::AnyFailures);
    let checker = match depth_max {
        Some(depth) => builder.target_max_depth(depth).spawn_bfs().join(),
        None => builder.spawn_bfs().join(),
    };
    assert!(checker.state_count() < REACHED_MAX, "{spec:?}: too many states to look at them all");
    let trace = checker.discovery(RIGHT).map(|path| path.into_vec());
    let seen = seen.load(Ordering::Relaxed);
    let missing = (0..names.len()).filter(|at| seen >> at & 1 == 0).map(|at| names[at]).collect();
    Verdict { states: checker.unique_state_count(), trace, missing }
}

fn tell<S: Spec>(spec: &S, trace: &Trace<S>) -> String {
    let wrong = trace.last().and_then(|(state, _)| spec.wrong(state)).unwrap_or_default();
    let steps = trace.iter().filter_map(|(_, step)| step.as_ref());
    let lines: Vec<String> = steps.map(|step| format!("\n      {step:?}")).collect();
    format!("{wrong}, in {} steps:{}", lines.len(), lines.concat())
}

/// Asserts that nothing goes wrong in any state, and that all outcomes are reached.
pub(crate) fn holds<S: Spec>(name: &str, spec: &S) {
    let verdict = run(spec, None);
    if let Some(trace) = &verdict.trace {
        panic!("{name}, with all rules on: {}\n{spec:?}", tell(spec, trace));
    }
    println!("holds   {:>7} states  {name}", verdict.states);
    assert!(verdict.missing.is_empty(), "{name}: never reached: {:?}", verdict.missing);
}

/// Asserts that something goes wrong, and prints the shortest way there.
pub(crate) fn breaks<S: Spec>(name: &str, spec: &S) {
    let first = run(spec, None);
    let states = first.states;
    let mut trace = first.trace.unwrap_or_else(|| {
        panic!("without \"{name}\" nothing goes wrong in {states} states: {spec:?}")
    });
    // The checker stops after a block of states, and keeps the last wrong one in it.
    while let Some(shorter) = run(spec, Some(trace.len())).trace {
        trace = shorter;
    }
    println!("breaks  {states:>7} states  without: {name}\n    {}", tell(spec, &trace));
}
