//! Writes a key, reads it, changes it only if nobody else has, and removes it.
//!
//! With a cluster running (`piazza up`): cargo run -p protocol --example first_steps

use protocol::client::{Client, ClientError, Deleted, Options};
use protocol::ids::Key;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let client = Client::connect(&address, Options::default()).await?;
    let key = Key::new("first-steps")?;

    // Every update is named, and repeated by itself until its outcome is known.
    let version = client.put(&key, b"hello").await?;
    println!("written as {version}");

    let found = client.get(&key).await?.ok_or("somebody has removed it meanwhile")?;
    println!("{} bytes, version {}", found.value.len(), found.version);

    match client.cas(&key, b"changed", found.version).await {
        Ok(version) => println!("changed, now {version}"),
        Err(ClientError::Condition(reply)) => println!("too late: {reply}"),
        Err(error) => return Err(error.into()),
    }
    match client.del(&key).await? {
        Deleted::Done(version) => println!("removed by {version}"),
        Deleted::NotFound => println!("it was gone already"),
    }
    client.close().await;
    Ok(())
}
