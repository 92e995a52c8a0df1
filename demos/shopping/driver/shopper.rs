//! One shopper: reads the cart, changes it, stores it back, and buys what is in it.
//!
//! Run by `driver` as a task of its own. Two shoppers may share a cart, and all of them the stock:
//! what was read may have changed when it is written, and then everything is read and decided anew.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use protocol::error::ErrorReply;
use protocol::ids::{InvalidId, Key, Version};
use protocol::load::Random;
use protocol::reply::Versioned;
use protocol::request::{Change, Condition, Op, Write};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::goods::{Cart, Keys, Lines, Order, decode, encode, encode_stock};
use super::ledger::{Difference, Held, Ledger};
use super::patience::{Failed, Store};
use super::plan::{Intent, Plan};
use super::report::Figures;

/// How often something is decided anew because somebody was faster: each time, somebody else has
/// got on, so this is far away.
const OVERTAKEN_MAX: u32 = 10_000;

/// What all shoppers share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) store: Store,
    pub(crate) keys: Keys,
    pub(crate) ledger: RefCell<Ledger>,
    /// How it goes.
    pub(crate) figures: watch::Sender<Figures>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Shopper {
    pub(crate) shop: Rc<Shop>,
    pub(crate) number: u32,
    pub(crate) cart: u32,
    /// How many orders of this shopper were acknowledged.
    pub(crate) orders: u64,
}

/// How often a shopper does something: after times that are drawn from a seed, between none and
/// twice the mean. In turns of equal length no two of them would ever meet.
#[derive(Debug)]
pub(crate) struct Pace {
    random: Random,
    mean: Duration,
    due: Instant,
}

impl Pace {
    /// That of shopper `number`, of so many who do `rate` things a second between them.
    pub(crate) fn new(rate: u32, seed: u64, number: u32, shoppers: u32) -> Self {
        // Not those of the plan, or what is wanted would depend on when.
        let random = Random::one_of_many(!seed, number);
        let mean = Duration::from_secs(shoppers.max(1).into()) / rate.max(1);
        Self { random, mean, due: Instant::now() }
    }

    /// Waits for the next time. Who was kept waiting does not make up for it.
    async fn next(&mut self) {
        let thousandths = self.random.below(2_000);
        self.due = (self.due + self.mean * thousandths / 1_000).max(Instant::now());
        sleep_until(self.due).await;
    }
}

/// Why an intent came to nothing.
enum Stuck {
    /// Refused for too long; nothing happened.
    Refused,
    /// Something does not add up, or may not.
    Wrong(Difference),
}

impl From<InvalidId> for Stuck {
    fn from(error: InvalidId) -> Self {
        Self::Wrong(Difference::new("", error.0))
    }
}

/// How an update went that depends on what was read before.
enum Attempt {
    Done(Version),
    Overtaken,
}

impl Shopper {
    /// Does so much of the plan, or until it is over.
    pub(crate) async fn shop(
        mut self,
        plan: Plan,
        operations: Option<u64>,
        mut pace: Option<Pace>,
    ) {
        for (done, intent) in (0_u64..).zip(plan) {
            if let Some(pace) = &mut pace {
                tokio::select! {
                    () = pace.next() => {}
                    () = self.shop.store.stopped() => {}
                }
            }
            if self.shop.store.is_stopped() || operations.is_some_and(|all| done >= all) {
                return;
            }
            let carried_out = match intent {
                Intent::Take { article, pieces } => {
                    self.change_cart(|cart| cart.take(article, pieces)).await
                }
                Intent::PutBack { line } => self.change_cart(|cart| cart.put_back(line)).await,
                Intent::Checkout => self.checkout().await,
            };
            match carried_out {
                // Refused for too long is counted; the next intent may fare better.
                Ok(()) | Err(Stuck::Refused) => {}
                Err(Stuck::Wrong(difference)) => {
                    self.shop.ledger.borrow_mut().wrong(difference);
                    return;
                }
            }
        }
    }

    /// Reads the cart, changes it, and stores it where nobody has stored another one meanwhile.
    async fn change_cart(&self, change: impl Fn(&mut Cart) -> bool) -> Result<(), Stuck> {
        let shop = &*self.shop;
        let key = shop.keys.cart(self.cart)?;
        for _ in 0..OVERTAKEN_MAX {
            let (mut cart, base) = self.read_cart(&key).await?;
            if !change(&mut cart) {
                return Ok(());
            }
            let value = encode(&cart);
            let op =
                Op::Cas { key: key.as_str().into(), value: Cow::Borrowed(&value), version: base };
            if let Attempt::Done(version) = self.attempt(&key, &op).await? {
                shop.ledger.borrow_mut().changed(key.as_str(), base, Held { version, value });
                shop.figures.send_modify(|figures| figures.cart_changes += 1);
                return Ok(());
            }
        }
        Err(Stuck::Refused)
    }

    /// Moves what is in the cart from the stock into an order: all of it or nothing.
    async fn checkout(&mut self) -> Result<(), Stuck> {
        let shop = self.shop.clone();
        let cart_key = shop.keys.cart(self.cart)?;
        let order_key = shop.keys.order(self.number, self.orders)?;
        for _ in 0..OVERTAKEN_MAX {
            let (cart, cart_base) = self.read_cart(&cart_key).await?;
            if cart.lines.is_empty() {
                return Ok(());
            }
            let order = Order { shopper: self.number, cart: self.cart, lines: cart.lines };
            let shelves = self.read_stock(&order.lines).await?;
            let missing = shelves.iter().filter(|shelf| shelf.left().is_none());
            let missing: Vec<u32> = missing.map(|shelf| shelf.article).collect();
            if !missing.is_empty() {
                shop.figures.send_modify(|figures| figures.sold_out += 1);
                let without = |cart: &mut Cart| {
                    let before = cart.lines.len();
                    cart.lines.retain(|article, _| !missing.contains(article));
                    cart.lines.len() < before
                };
                return self.change_cart(without).await;
            }
            let sale = Sale::new(&order, (&cart_key, cart_base), &order_key, shelves);
            if let Attempt::Done(version) = self.attempt(&order_key, &sale.op()).await? {
                sale.write_down(&mut shop.ledger.borrow_mut(), version);
                shop.figures.send_modify(|figures| figures.orders += 1);
                self.orders += 1;
                return Ok(());
            }
        }
        Err(Stuck::Refused)
    }

    /// An update that is overtaken where what it was made from has changed. Its own order must not
    /// be there: if it is, it was sold, and nobody was told.
    async fn attempt(&self, key: &Key, op: &Op<'_>) -> Result<Attempt, Stuck> {
        let shop = &*self.shop;
        let is_own = |reply: &ErrorReply| {
            shop.keys.is_order(key.as_str()) && reply.key.as_deref() == Some(key.as_str())
        };
        match shop.store.update(op).await {
            Ok(version) => Ok(Attempt::Done(version)),
            Err(Failed::Condition(reply)) if is_own(&reply) => {
                let what = "is there already, and was never acknowledged";
                Err(Stuck::Wrong(Difference::new(key.as_str(), what)))
            }
            Err(Failed::Condition(_)) => {
                shop.figures.send_modify(|figures| figures.overtaken += 1);
                Ok(Attempt::Overtaken)
            }
            Err(failed) => Err(stuck(key, failed)),
        }
    }

    async fn read_cart(&self, key: &Key) -> Result<(Cart, Version), Stuck> {
        let store = &self.shop.store;
        let read = store.read(async || store.client.get(key).await).await;
        understood(key, read.map_err(|failed| stuck(key, failed))?)
    }

    /// What is in stock of each of these, at one moment.
    async fn read_stock(&self, wanted: &Lines) -> Result<Vec<Shelf>, Stuck> {
        let keys = wanted.keys().map(|article| self.shop.keys.stock(*article));
        let keys: Vec<Key> = keys.collect::<Result<_, _>>()?;
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        let store = &self.shop.store;
        let read = store.read(async || store.client.mget(&keys).await).await;
        let read = read.map_err(|failed| stuck(first, failed))?;
        let mut shelves = Vec::with_capacity(keys.len());
        for ((key, found), (article, pieces)) in keys.into_iter().zip(read).zip(wanted) {
            let (stock, base) = understood(&key, found)?;
            shelves.push(Shelf { article: *article, key, base, stock, wanted: *pieces });
        }
        Ok(shelves)
    }
}

/// An article in stock, and how much of it is wanted.
struct Shelf {
    article: u32,
    key: Key,
    base: Version,
    stock: u64,
    wanted: u32,
}

impl Shelf {
    /// What is left then; `None`: there is not so much.
    fn left(&self) -> Option<u64> {
        self.stock.checked_sub(u64::from(self.wanted))
    }
}

/// A checkout, decided on what was read.
struct Sale<'a> {
    order: (&'a Key, Vec<u8>),
    /// What is written over a version that was read: key, version, value. The cart first.
    replaced: Vec<(Key, Version, Vec<u8>)>,
}

impl<'a> Sale<'a> {
    fn new(
        order: &Order,
        (cart, cart_base): (&Key, Version),
        order_key: &'a Key,
        shelves: Vec<Shelf>,
    ) -> Self {
        let mut replaced = vec![(cart.clone(), cart_base, encode(&Cart::default()))];
        for shelf in shelves {
            let left = encode_stock(shelf.left().unwrap_or(0));
            replaced.push((shelf.key, shelf.base, left));
        }
        Self { order: (order_key, encode(order)), replaced }
    }

    /// Only if nothing has changed since it was read, and this order is not there yet.
    fn op(&self) -> Op<'_> {
        let (order, bought) = &self.order;
        let mut conditions = vec![Condition { key: order.as_str().into(), version: None }];
        let mut writes =
            vec![Write { key: order.as_str().into(), change: Change::Put(Cow::Borrowed(bought)) }];
        for (key, base, value) in &self.replaced {
            conditions.push(Condition { key: key.as_str().into(), version: Some(*base) });
            let change = Change::Update(Cow::Borrowed(value));
            writes.push(Write { key: key.as_str().into(), change });
        }
        Op::Txn { conditions, writes }
    }

    /// All of it was written with this one version.
    fn write_down(self, ledger: &mut Ledger, version: Version) {
        let (order, value) = self.order;
        ledger.sold(order.as_str(), Held { version, value });
        for (key, base, value) in self.replaced {
            ledger.changed(key.as_str(), base, Held { version, value });
        }
    }
}

/// What a key of ours must hold.
fn understood<T: serde::de::DeserializeOwned>(
    key: &Key,
    found: Option<Versioned>,
) -> Result<(T, Version), Stuck> {
    let wrong = |what| Stuck::Wrong(Difference::new(key.as_str(), what));
    let found = found.ok_or_else(|| wrong("is gone"))?;
    let content = decode(found.value.as_bytes());
    let content = content.ok_or_else(|| wrong("holds what no shopper has stored"))?;
    Ok((content, found.version))
}

fn stuck(key: &Key, failed: Failed) -> Stuck {
    match failed {
        Failed::Refused => Stuck::Refused,
        Failed::Condition(reply) => Stuck::Wrong(Difference::new(key.as_str(), reply.error)),
        Failed::Wrong(what) => Stuck::Wrong(Difference::new(key.as_str(), what)),
    }
}
