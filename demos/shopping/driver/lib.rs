//! The shop: opened on a cluster, shopped in, and audited.
//!
//! Run by the example as a program, by `piazza demo shopping` under the eyes of a person, and by
//! the end-to-end tests. Never prints: it hands back what is to be printed, and says on the way how
//! it goes. In reading order:
//!
//! - `goods`: carts, orders and stock, their keys and values
//! - `plan`: what shoppers want, from a seed
//! - `patience`: calls that are repeated, and for how long
//! - `shopper`: one shopper
//! - `ledger`: what was acknowledged, and what that must come to
//! - `audit`: laying out, reading back, removing
//! - `report`: what is told, on the way and at the end
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
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use goods::Keys;
use ledger::Ledger;
use patience::Store;
use plan::Plan;
use shopper::{Pace, Shop, Shopper};

pub use ledger::Difference;
pub use patience::Counts;
pub use report::{Figures, Phase, Report};

/// It does not add up.
const EXIT_WRONG: u8 = 1;
/// It could not be run, or not be checked.
const EXIT_NOT_DONE: u8 = 2;

/// Shoppers fill carts and buy, while servers are taken down by somebody else. At the end carts,
/// orders and stock are read back and must add up: exit code 0, else 1 with what does not. 2: it
/// could not be run, or not be checked. Ctrl-C ends the shopping early, and it is still checked.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "shopping")]
pub struct Args {
    /// Client address of the cluster; several with commas between them. Where the cluster wants a
    /// token, it is in the environment as PIAZZA_TOKEN.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub addr: String,
    /// How many shoppers.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub shoppers: u32,
    /// How many carts they have between them [default: one for two shoppers, so that they meet].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub carts: Option<u32>,
    /// How many articles there are.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub articles: u32,
    /// How many pieces of each.
    #[arg(long, default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    pub stock: u64,
    /// How long they shop.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// How many things they do, all together, instead of for how long.
    #[arg(long, conflicts_with = "seconds",
        value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub operations: Option<u64>,
    /// How many things they do a second at most, all together [default: as many as they can].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// What all keys of the run begin with; nothing else may [default: a random one].
    #[arg(long)]
    pub prefix: Option<String>,
    /// Leave the keys where they are.
    #[arg(long)]
    pub keep: bool,
    /// What the shoppers want is drawn from it [default: a random one, which is told].
    #[arg(long)]
    pub seed: Option<u64>,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// What to show the cluster.
    #[arg(skip)]
    pub token: Option<Token>,
}

/// How a program of these arguments ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: u8,
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
}

/// Runs it with these arguments, of which the first is the program's name, until it is over or
/// `stopped`. The token is that of the environment. Must be called within a tokio runtime of one
/// thread.
pub async fn run(
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
    let json = args.json;
    let held = async {
        let args = Args { token: token()?, ..args };
        hold(&args, watch::Sender::default(), stopped).await
    };
    match held.await {
        Ok(report) => {
            let code = if report.ok { 0 } else { EXIT_WRONG };
            let out = if json { report.json() } else { report.table() };
            Ended { code, out, err: String::new() }
        }
        Err(error) => {
            let err = format!("shopping: {error}\n");
            Ended { code: EXIT_NOT_DONE, out: String::new(), err }
        }
    }
}

/// Opens the shop, lets them shop until it is over or `stopped`, and checks; `figures` are how it
/// goes meanwhile. Must be called within a tokio runtime of one thread.
///
/// # Errors
/// The shop could not be opened, or what is in it could not be read back.
pub async fn hold(
    args: &Args,
    figures: watch::Sender<Figures>,
    stopped: oneshot::Receiver<()>,
) -> Result<Report, Box<dyn Error>> {
    LocalSet::new().run_until(open_to_check(args, figures, stopped)).await
}

async fn open_to_check(
    args: &Args,
    figures: watch::Sender<Figures>,
    stopped: oneshot::Receiver<()>,
) -> Result<Report, Box<dyn Error>> {
    let (shop, mut report) = open(args, figures).await?;
    shop.figures.send_modify(|figures| figures.phase = Phase::Open);
    let begun = Instant::now();
    report.interrupted = let_shop(args, &shop, report.carts, report.seed, stopped).await;
    report.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.counts = shop.store.counts();
    shop.figures.send_modify(|figures| figures.phase = Phase::Checking);

    // Whoever has stopped has no update under way any more: what is read now stays so.
    shop.store.resume();
    let prefix = &shop.keys.prefix;
    let found = audit::read_back(&shop.store, prefix).await;
    let found = found.map_err(|error| format!("{prefix} could not be read back: {error}"))?;
    let (sums, differences) = shop.ledger.borrow().compare(&found);
    report.found(found.len(), sums, differences);
    report.shopped(&shop.figures.borrow());
    report.kept = if args.keep {
        Some("as asked".to_owned())
    } else {
        audit::remove_all(&shop, &found).await.err().map(|error| error.to_string())
    };
    Ok(report)
}

/// That of the environment.
fn token() -> Result<Option<Token>, Box<dyn Error>> {
    let token = std::env::var("PIAZZA_TOKEN").ok().filter(|text| !text.is_empty());
    Ok(token.map(|text| Token::new(&text)).transpose()?)
}

/// Connects, and lays out carts and stock.
async fn open(
    args: &Args,
    figures: watch::Sender<Figures>,
) -> Result<(Rc<Shop>, Report), Box<dyn Error>> {
    let options = Options { token: args.token.clone(), ..Options::default() };
    let client = Client::connect(&args.addr, options).await?;
    let seed = args.seed.map_or_else(random, Ok)?;
    let prefix = match &args.prefix {
        Some(prefix) => prefix.clone(),
        None => format!("shopping-{:08x}/", random()? as u32),
    };
    let keys = Keys { prefix: prefix.clone() };
    let run = format!("{:016x}{:016x}", random()?, random()?);
    let shop = Rc::new(Shop {
        store: Store::new(client, run, seed, figures.clone()),
        ledger: RefCell::new(Ledger::new(keys.clone())),
        keys,
        figures,
    });
    if !audit::is_unused(&shop).await? {
        return Err(format!("there are keys already that begin with {prefix:?}").into());
    }
    let (shoppers, articles) = (args.shoppers, args.articles);
    let carts = args.carts.unwrap_or(shoppers.div_ceil(2)).min(shoppers);
    audit::lay_out(&shop, carts, articles, args.stock).await?;
    let report = Report { seed, prefix, shoppers, carts, articles, ..Report::default() };
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
        let pace = args.rate.map(|rate| Pace::new(rate, seed, number, args.shoppers));
        let shopper = Shopper { shop: shop.clone(), number, cart: number % carts, orders: 0 };
        let plan = Plan::new(seed, number, args.articles);
        shoppers.spawn_local(shopper.shop(plan, operations, pace));
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
