//! Keeps a copy of all keys with a prefix in memory: reads them, then follows every change; when
//! the watch is lost it begins anew, so the copy never misses one.
//!
//! With a cluster running (`piazza up`): cargo run -p protocol --example mirror -- user/

use std::collections::BTreeMap;

use protocol::client::{Client, ClientError, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prefix = std::env::args().nth(1).unwrap_or_default();
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:8080".into());
    let client = Client::connect(&address, Options::default()).await?;
    loop {
        match mirror(&client, &prefix).await {
            ClientError::WatchLost | ClientError::Lost(_) => println!("lost it; from the start"),
            error => return Err(error.into()),
        }
    }
}

/// Follows until that cannot go on, and says why.
async fn mirror(client: &Client, prefix: &str) -> ClientError {
    // The watch first: what changes while the keys are read is not missed, only seen twice.
    let mut watch = match client.watch_prefix(prefix).await {
        Ok(watch) => watch,
        Err(error) => return error,
    };
    let mut copy = BTreeMap::new();
    let mut scan = client.scan(prefix).with_values();
    loop {
        match scan.next().await {
            Ok(Some(page)) => copy
                .extend(page.items.into_iter().map(|item| (item.key, (item.version, item.value)))),
            Ok(None) => break,
            Err(error) => return error,
        }
    }
    println!("{} keys", copy.len());
    loop {
        match watch.next().await {
            Ok(change) => {
                // The first ones may be older than what was read; what was read follows them.
                let what = if change.value.is_some() { "written" } else { "removed" };
                println!("{} {what} by {}", change.key.as_str(), change.version);
                copy.insert(change.key, (change.version, change.value));
            }
            Err(error) => return error,
        }
    }
}
