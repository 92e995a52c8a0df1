//! The shop of a demo: the driver of `demos/shopping`, held in the background and looked at.
//!
//! Used by `stage`.

use std::sync::{Arc, OnceLock};

use shopping::{Args, Figures, Phase, Report};
use tokio::sync::{oneshot, watch};
use tui::console::shop::{Found, Shop, ShopState};
use tui::demo::script::ShopPlan;

use super::background::Background;

/// What the keys of the shop begin with.
const PREFIX: &str = "shop:";
/// Longer than any demo, seconds.
const SECONDS_MAX: u64 = 3_600;

/// A shop, until this is dropped.
pub(super) struct Shopping {
    shoppers: u32,
    figures: watch::Receiver<Figures>,
    close: Option<oneshot::Sender<()>>,
    ended: Arc<OnceLock<Result<Report, String>>>,
    _background: Background,
}

impl Shopping {
    /// Opens it.
    pub(super) fn begin(addresses: &str, plan: &ShopPlan) -> Self {
        let args = Args {
            addr: addresses.to_owned(),
            shoppers: plan.shoppers,
            carts: None,
            articles: plan.articles,
            stock: plan.stock,
            seconds: SECONDS_MAX,
            operations: None,
            rate: plan.rate,
            prefix: Some(PREFIX.to_owned()),
            // They go with the cluster; who takes it over finds them.
            keep: true,
            seed: Some(plan.seed),
            json: false,
            token: None,
        };
        let (close, closed) = oneshot::channel();
        let (tell, figures) = watch::channel(Figures::default());
        let ended = Arc::new(OnceLock::new());
        let end = ended.clone();
        let background = Background::begin(move || async move {
            let held = shopping::hold(&args, tell, closed).await;
            // Nobody else says how it ended.
            let _ = end.set(held.map_err(|error| error.to_string()));
        });
        Self {
            shoppers: plan.shoppers,
            figures,
            close: Some(close),
            ended,
            _background: background,
        }
    }

    /// Closes it: what is under way is finished, then all is read back and compared.
    pub(super) fn close(&mut self) {
        if let Some(close) = self.close.take() {
            // It may be over already.
            let _ = close.send(());
        }
    }

    /// How it goes.
    pub(super) fn told(&self) -> Shop {
        let figures = *self.figures.borrow();
        let (state, found) = match self.ended.get() {
            Some(Ok(report)) => (ShopState::Checked, Some(found(report))),
            Some(Err(why)) => (ShopState::Broken(why.clone()), None),
            None => (under_way(figures.phase), None),
        };
        Shop {
            state,
            shoppers: self.shoppers,
            carts_stored: figures.cart_changes,
            orders: figures.orders,
            overtaken: figures.overtaken,
            refused: figures.refused,
            unknown: figures.unknown,
            found,
        }
    }
}

fn under_way(phase: Phase) -> ShopState {
    match phase {
        Phase::Opening => ShopState::Opening,
        Phase::Open => ShopState::Open,
        Phase::Checking => ShopState::Checking,
    }
}

fn found(report: &Report) -> Found {
    let first = report.differences.first();
    let more = u64::try_from(report.differences_not_shown).unwrap_or(u64::MAX);
    Found {
        stock: report.stock_initial,
        left: report.stock_left,
        sold: report.stock_sold,
        wrong: more.saturating_add(report.differences.len() as u64),
        first_wrong: first.map(|first| format!("{}: {}", first.key, first.what)),
    }
}
