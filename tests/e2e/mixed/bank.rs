//! Transfers between accounts, each a `txn` across nodes, and readers that see their sum.
//!
//! A transfer reads all accounts with `mget`, then moves an amount where both versions are still
//! the same; some also rest on a third account that they do not write. Every `mget` of anybody
//! must show the sum that there was in the beginning: it is one consistent cut.

use std::collections::BTreeSet;

use protocol::client::{Client, ClientError};
use protocol::ids::Key;

use super::book::{Book, Held, Told};
use super::clients::{Worker, key};
use crate::check::Action;
use crate::e2e::cluster::Ring;

/// What each account holds in the beginning.
const OPENING: i64 = 1_000;
const AMOUNT_MAX: u64 = 50;
/// Transfers in a hundred that rest on a third account.
const GUARDED_PERCENT: u64 = 30;

/// Two accounts for each node that is somebody's primary.
pub(super) fn accounts(ring: &Ring) -> Vec<Key> {
    let names = (0..1_000).map(|number| format!("account/{number}"));
    let mut chosen: Vec<Key> = Vec::new();
    let mut rounds = [BTreeSet::new(), BTreeSet::new()];
    for name in names {
        let primary = ring.holders(&name)[0].clone();
        if rounds.iter_mut().any(|round| round.insert(primary.clone())) {
            chosen.push(key(&name));
        }
    }
    chosen
}

/// Opens all accounts in one step.
pub(super) async fn open(book: &Book, client: &Client, accounts: &[Key]) {
    let texts: Vec<_> =
        accounts.iter().map(|key| book.value(key.as_str(), |_| OPENING.to_string())).collect();
    let asked = book.ask("opening", 0);
    let mut txn = client.txn();
    let mut effects = Vec::new();
    for (key, (id, text)) in accounts.iter().zip(&texts) {
        txn = txn.if_absent(key).put(key, text.as_bytes());
        effects.push((key.as_str(), Action::Swap { from: None, to: Some(*id) }));
    }
    let told = Told::from(txn.commit().await);
    assert!(matches!(told, Told::Done(_)), "the accounts could not be opened: {told:?}");
    book.wrote(asked, &effects, &told);
}

/// Fails unless these accounts, of one cut, hold what they held in the beginning.
pub(super) fn check_sum(book: &Book, accounts: &[Key], held: &[Option<Held>]) {
    let balances: Vec<Option<i64>> = held.iter().map(|held| held.as_ref().map(balance)).collect();
    let sum: i64 = balances.iter().flatten().sum();
    if balances.contains(&None) || sum != OPENING * accounts.len() as i64 {
        let versions: Vec<String> =
            held.iter().flatten().map(|held| held.version.to_string()).collect();
        let sentence = format!(
            "an mget of {accounts:?} shows {balances:?} at {versions:?}, {sum} in all: not one cut"
        );
        for account in accounts {
            println!("account {account:?}: {}", book.entries().story(account.as_str()));
        }
        book.fail(accounts[0].as_str(), &sentence);
    }
}

fn balance(held: &Held) -> i64 {
    held.payload.parse().expect("accounts hold numbers")
}

impl Worker {
    /// Moves money.
    pub(super) async fn banker(mut self, accounts: Vec<Key>) {
        while self.think().await {
            let Some(held) = self.look(&accounts).await else { continue };
            let all = accounts.len() as u64;
            let from = self.random.below(all);
            let to = (from + 1 + self.random.below(all - 1)) % all;
            let guard = self.random.chance(GUARDED_PERCENT).then(|| self.random.below(all));
            let guard = guard.filter(|guard| ![from, to].contains(guard));
            let amount = 1 + self.random.below(AMOUNT_MAX) as i64;
            let place = |place: u64| (&accounts[place as usize], &held[place as usize]);
            self.transfer(place(from), place(to), guard.map(place), amount).await;
        }
    }

    async fn transfer(
        &self,
        (from, paying): (&Key, &Held),
        (to, paid): (&Key, &Held),
        guard: Option<(&Key, &Held)>,
        amount: i64,
    ) {
        let less = self.book.value(from.as_str(), |_| (balance(paying) - amount).to_string());
        let more = self.book.value(to.as_str(), |_| (balance(paid) + amount).to_string());
        let kind = if guard.is_some() { "guarded transfer" } else { "transfer" };
        let asked = self.book.ask(kind, self.number);
        let txn = self.client.txn().if_version(from, paying.version).if_version(to, paid.version);
        let mut txn = txn.update(from, less.1.as_bytes()).put(to, more.1.as_bytes());
        let mut effects = vec![
            (from.as_str(), Action::Swap { from: Some(paying.id), to: Some(less.0) }),
            (to.as_str(), Action::Swap { from: Some(paid.id), to: Some(more.0) }),
        ];
        if let Some((key, held)) = guard {
            txn = txn.if_version(key, held.version);
            effects.push((key.as_str(), Action::Get(Some(held.id))));
        }
        let told = Told::from(txn.commit().await);
        self.book.wrote(asked, &effects, &told);
    }

    /// Does nothing but read all accounts at once.
    pub(super) async fn auditor(mut self, accounts: Vec<Key>) {
        while self.think().await {
            self.look(&accounts).await;
        }
    }

    /// All accounts, as of one moment.
    async fn look(&self, accounts: &[Key]) -> Option<Vec<Held>> {
        let asked = self.book.ask("mget", self.number);
        let found = match self.client.mget(accounts).await {
            Ok(found) => found,
            Err(error) => {
                self.not_read("mget", &error);
                return None;
            }
        };
        self.book.count_ok("mget");
        let pairs = accounts.iter().zip(&found);
        let held: Vec<Option<Held>> =
            pairs.map(|(key, found)| self.book.read(asked, key.as_str(), found.as_ref())).collect();
        check_sum(&self.book, accounts, &held);
        held.into_iter().collect()
    }

    /// A read was not answered, which is nothing to worry about.
    pub(super) fn not_read(&self, kind: &'static str, error: &ClientError) {
        assert!(error.is_safe_to_repeat(), "{kind} was answered with {error:?}");
        self.book.count(kind, "refused");
    }
}
