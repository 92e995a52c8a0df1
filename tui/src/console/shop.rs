//! How the shop of a demo goes: plain data, set by the loop, looked at by the demo.

/// A shop whose customers are at work in the background.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shop {
    /// How far it is.
    pub state: ShopState,
    /// How many shoppers there are.
    pub shoppers: u32,
    /// Changed carts that were stored.
    pub carts_stored: u64,
    /// Orders.
    pub orders: u64,
    /// Updates that came too late, and were decided anew.
    pub overtaken: u64,
    /// Requests that were refused for now.
    pub refused: u64,
    /// Updates of which it was not known at first whether they happened.
    pub unknown: u64,
    /// What was found when it was closed.
    pub found: Option<Found>,
}

/// How far a shop is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ShopState {
    /// Carts and stock are laid out.
    #[default]
    Opening,
    /// They shop.
    Open,
    /// Nobody shops any more; what is there is read back and compared.
    Checking,
    /// All was compared.
    Checked,
    /// It could not be opened, or not be checked: why.
    Broken(String),
}

/// What was found when all was read back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Pieces in stock at the beginning.
    pub stock: u64,
    /// Pieces in stock at the end.
    pub left: u64,
    /// Pieces in orders.
    pub sold: u64,
    /// How much does not add up.
    pub wrong: u64,
    /// The first that does not: where, and what.
    pub first_wrong: Option<String>,
}

impl Shop {
    /// How far it is, in words.
    pub fn told(&self) -> String {
        let first_wrong = self.found.as_ref().and_then(|found| found.first_wrong.as_ref());
        match (&self.state, first_wrong) {
            (ShopState::Opening, _) => "opening".to_owned(),
            (ShopState::Open, _) => "open".to_owned(),
            (ShopState::Checking, _) => "checking".to_owned(),
            (ShopState::Checked, None) => "adds up".to_owned(),
            (ShopState::Checked, Some(what)) => format!("does not add up: {what}"),
            (ShopState::Broken(why), _) => format!("broken: {why}"),
        }
    }
}
