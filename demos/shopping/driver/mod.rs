//! The shop: opened on a cluster, shopped in, and audited.
//!
//! Run by `main` as a program, and by the end-to-end tests within theirs. Never prints: it hands
//! back what is to be printed. In reading order:
//!
//! - `goods`: carts, orders and stock, their keys and values
//! - `plan`: what shoppers want, from a seed
//! - `patience`: calls that are repeated, and for how long
//! - `shopper`: one shopper
//! - `ledger`: what was acknowledged, and what that must come to
//! - `audit`: laying out, reading back, removing
//! - `report`: what is told
//! - this file: the order of all that

mod audit;
mod goods;
mod ledger;
mod patience;
mod plan;
mod report;
mod shopper;

use std::cell::RefCell;
use std::error::Error;
use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser as _;
use protocol::client::{Client, Options};
use protocol::token::Token;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use goods::Keys;
use ledger::{Difference, Ledger};
use patience::Store;
use plan::Plan;
use report::Report;
use shopper::{Done, Shop, Shopper};

/// It does not add up.
const EXIT_WRONG: u8 = 1;
/// It could not be run, or not be checked.
const EXIT_NOT_DONE: u8 = 2;

/// Shoppers fill carts and buy, while servers are taken down by somebody else. At the end carts,
/// orders and stock are read back and must add up: exit code 0, else 1 with what does not. 2: it
/// could not be run, or not be checked. Ctrl-C ends the shopping early, and it is still checked.
#[derive(Debug, clap::Parser)]
#[command(name = "shopping")]
struct Args {
    /// Client address of the cluster; several with commas between them. Where the cluster wants a
    /// token, it is in the environment as PIAZZA_TOKEN.
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: String,
    /// How many shoppers.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    shoppers: u32,
    /// How many carts they have between them [default: one for two shoppers, so that they meet].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    carts: Option<u32>,
    /// How many articles there are.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    articles: u32,
    /// How many pieces of each.
    #[arg(long, default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    stock: u64,
    /// How long they shop.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many things they do, all together, instead of for how long.
    #[arg(long, conflicts_with = "seconds",
        value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    operations: Option<u64>,
    /// What all keys of the run begin with; nothing else may [default: a random one].
    #[arg(long)]
    prefix: Option<String>,
    /// Leave the keys where they are.
    #[arg(long)]
    keep: bool,
    /// What the shoppers want is drawn from it [default: a random one, which is told].
    #[arg(long)]
    seed: Option<u64>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) code: u8,
    /// For standard output.
    pub(crate) out: String,
    /// For standard error.
    pub(crate) err: String,
}

/// Runs it with these arguments, of which the first is the program's name, until it is over or
/// `stopped`. Must be called within a tokio runtime of one thread.
pub(crate) async fn run(
    arguments: impl IntoIterator<Item = OsString>,
    stopped: oneshot::Receiver<()>,
) -> Ended {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) if error.use_stderr() => {
            return Ended { code: EXIT_NOT_DONE, out: String::new(), err: error.to_string() };
        }
        Err(help) => return Ended { code: 0, out: help.to_string(), err: String::new() },
    };
    match LocalSet::new().run_until(hold(&args, stopped)).await {
        Ok(report) => {
            let code = if report.ok { 0 } else { EXIT_WRONG };
            let out = if args.json { report.json() } else { report.table() };
            Ended { code, out, err: String::new() }
        }
        Err(error) => {
            let err = format!("shopping: {error}\n");
            Ended { code: EXIT_NOT_DONE, out: String::new(), err }
        }
    }
}

/// Opens the shop, lets them shop, and checks.
async fn hold(args: &Args, stopped: oneshot::Receiver<()>) -> Result<Report, Box<dyn Error>> {
    let (shop, mut report) = open(args).await?;
    let begun = Instant::now();
    report.interrupted = let_shop(args, &shop, report.carts, report.seed, stopped).await;
    report.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let shopping = shop.store.counts();

    // Whoever has stopped has no update under way any more: what is read now stays so.
    shop.store.resume();
    let prefix = &shop.keys.prefix;
    let found = audit::read_back(&shop.store, prefix).await;
    let found = found.map_err(|error| format!("{prefix} could not be read back: {error}"))?;
    let (sums, differences) = shop.ledger.borrow().compare(&found);
    report.found(found.len(), sums, differences);
    report.counts = shopping;
    report.cart_changes = shop.done.cart_changes.get();
    report.orders = shop.done.orders.get();
    report.overtaken = shop.done.overtaken.get();
    report.sold_out = shop.done.sold_out.get();
    report.kept = if args.keep {
        Some("as asked".to_owned())
    } else {
        audit::remove_all(&shop, &found).await.err().map(|error| error.to_string())
    };
    Ok(report)
}

/// Connects, and lays out carts and stock.
async fn open(args: &Args) -> Result<(Rc<Shop>, Report), Box<dyn Error>> {
    let token = std::env::var("PIAZZA_TOKEN").ok().filter(|text| !text.is_empty());
    let token = token.map(|text| Token::new(&text)).transpose()?;
    let client = Client::connect(&args.addr, Options { token, ..Options::default() }).await?;
    let seed = args.seed.map_or_else(random, Ok)?;
    let prefix = match &args.prefix {
        Some(prefix) => prefix.clone(),
        None => format!("shopping-{:08x}/", random()? as u32),
    };
    let keys = Keys { prefix: prefix.clone() };
    let run = format!("{:016x}{:016x}", random()?, random()?);
    let shop = Rc::new(Shop {
        store: Store::new(client, run, seed),
        ledger: RefCell::new(Ledger::new(keys.clone())),
        keys,
        done: Done::default(),
    });
    if !audit::is_unused(&shop).await? {
        return Err(format!("there are keys already that begin with {prefix:?}").into());
    }
    let (shoppers, articles) = (args.shoppers, args.articles);
    let carts = args.carts.unwrap_or(shoppers.div_ceil(2)).min(shoppers);
    audit::lay_out(&shop, carts, articles, args.stock).await?;
    let report = Report {
        ok: false,
        seed,
        prefix,
        shoppers,
        carts,
        articles,
        ms: 0,
        interrupted: false,
        cart_changes: 0,
        orders: 0,
        overtaken: 0,
        sold_out: 0,
        counts: patience::Counts::default(),
        keys: 0,
        stock_initial: 0,
        stock_left: 0,
        stock_sold: 0,
        differences: Vec::new(),
        differences_not_shown: 0,
        kept: None,
    };
    Ok((shop, report))
}

/// All shoppers at once, until they have done what they should or time is up; true: until it was
/// stopped. None of them is at work any more then.
async fn let_shop(
    args: &Args,
    shop: &Rc<Shop>,
    carts: u32,
    seed: u64,
    mut stopped: oneshot::Receiver<()>,
) -> bool {
    let mut shoppers = JoinSet::new();
    for number in 0..args.shoppers {
        // The first ones do what is left over.
        let left_over = |all: u64| u64::from(u64::from(number) < all % u64::from(args.shoppers));
        let operations = args.operations.map(|all| all / u64::from(args.shoppers) + left_over(all));
        let shopper = Shopper { shop: shop.clone(), number, cart: number % carts, orders: 0 };
        shoppers.spawn_local(shopper.shop(Plan::new(seed, number, args.articles), operations));
    }
    let time = sleep(Duration::from_secs(args.seconds));
    tokio::pin!(time);
    let (mut interrupted, mut may_be_stopped) = (false, true);
    loop {
        tokio::select! {
            ended = shoppers.join_next() => match ended {
                None => return interrupted,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    let difference = Difference::new("", format!("a shopper has died: {error}"));
                    shop.ledger.borrow_mut().wrong(difference);
                }
            },
            () = &mut time, if args.operations.is_none() && !shop.store.is_stopped() => {
                shop.store.stop();
            }
            asked = &mut stopped, if may_be_stopped => {
                may_be_stopped = false;
                // An error: nobody is there any more who could stop it.
                if asked.is_ok() {
                    interrupted = true;
                    shop.store.stop();
                }
            }
        }
    }
}

/// From the system's source of randomness.
fn random() -> Result<u64, Box<dyn Error>> {
    getrandom::u64().map_err(|error| format!("no randomness: {error}").into())
}
