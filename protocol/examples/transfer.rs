//! Moves an amount between two accounts: both or neither, however many do so at once.
//!
//! With a cluster running (`piazza up`): cargo run -p protocol --example transfer

use protocol::client::{Client, ClientError, Options};
use protocol::ids::{Key, Version};

/// What an account holds, and the version that says so; `None` if there is no such account.
async fn account(
    client: &Client,
    key: &Key,
) -> Result<Option<(u64, Version)>, Box<dyn std::error::Error>> {
    let Some(found) = client.get(key).await? else { return Ok(None) };
    let amount = std::str::from_utf8(found.value.as_bytes())?.parse()?;
    Ok(Some((amount, found.version)))
}

/// Moves `amount`, again and again until nobody has come in between.
async fn transfer(
    client: &Client,
    (from, to): (&Key, &Key),
    amount: u64,
) -> Result<Version, Box<dyn std::error::Error>> {
    loop {
        let (source, source_version) = account(client, from).await?.ok_or("no such account")?;
        let (target, target_version) = account(client, to).await?.ok_or("no such account")?;
        let left = source.checked_sub(amount).ok_or("there is not so much in it")?;
        let moved = client
            .txn()
            .if_version(from, source_version)
            .if_version(to, target_version)
            .update(from, left.to_string().as_bytes())
            .update(to, (target + amount).to_string().as_bytes())
            .commit()
            .await;
        match moved {
            Ok(version) => return Ok(version),
            // Somebody was faster: read both again.
            Err(ClientError::Condition(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let client = Client::connect(&address, Options::default()).await?;
    let (alice, bob) = (Key::new("account/alice")?, Key::new("account/bob")?);
    client.txn().put(&alice, b"100").put(&bob, b"0").commit().await?;

    let version = transfer(&client, (&alice, &bob), 30).await?;
    // Both as of one moment.
    let both = client.mget(&[alice, bob]).await?;
    let amounts: Vec<_> = both
        .iter()
        .flatten()
        .map(|found| String::from_utf8_lossy(found.value.as_bytes()))
        .collect();
    println!("moved by {version}: {}", amounts.join(" and "));
    client.close().await;
    Ok(())
}
