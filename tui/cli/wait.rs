//! `wait ready|healthy`: asks for the status until nothing is missing, or the time is over.
//!
//! Called by `main`, and by scripts that start a cluster. It connects anew whenever the connection
//! is lost, because a cluster that is starting may not listen yet. It changes nothing.

use std::process::ExitCode;
use std::time::Duration;

use protocol::client::{Client, Options};
use tokio::time::{Instant, sleep};

use crate::address;
use crate::args::{Goal, WaitArgs};
use crate::print::{self, Exit, Failure};
use crate::status;

/// How often the status is asked for.
const INTERVAL: Duration = Duration::from_millis(100);

/// `piazza wait ready|healthy`.
pub(crate) fn run(args: WaitArgs) -> ExitCode {
    let json = args.common.json;
    print::finish(print::block_on(wait(args)), json)
}

async fn wait(args: WaitArgs) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let mut client = None;
    loop {
        let left = args.timeout.saturating_sub(begun.elapsed());
        let failure = match look(&mut client, &args, left).await {
            Ok(()) => break,
            Err(failure) => failure,
        };
        // No time mends a token.
        if failure.exit == Exit::Other && failure.reply.is_some() {
            return Err(failure);
        }
        if begun.elapsed() + INTERVAL > args.timeout {
            return Err(failure.within(&gave_up(args.timeout)));
        }
        sleep(INTERVAL).await;
    }
    let goal = match args.goal {
        Goal::Ready => "ready",
        Goal::Healthy => "healthy",
    };
    let ms = begun.elapsed().as_millis();
    let line = if args.common.json {
        format!("{{\"state\":\"{goal}\",\"waited_ms\":{ms}}}\n")
    } else {
        format!("{goal}\n")
    };
    print::output(line.as_bytes())?;
    Ok(Exit::Done)
}

fn gave_up(after: Duration) -> String {
    match after.is_zero() {
        true => "looked once and did not wait".into(),
        false => format!("gave up after {after:?}"),
    }
}

/// Looks once, within the time that is left.
async fn look(client: &mut Option<Client>, args: &WaitArgs, left: Duration) -> Result<(), Failure> {
    // Found anew each time: `piazza up` may only now be writing its addresses.
    let target = address::resolve(&args.common)?;
    let patience = left.clamp(INTERVAL, Duration::from_secs(2));
    let connection = match client.take().filter(|client| !client.is_lost()) {
        Some(connection) => connection,
        None => {
            let options = Options {
                connect_timeout: patience,
                timeout: patience,
                margin: INTERVAL,
                token: args.common.credentials.token()?,
                ..Options::default()
            };
            Client::connect(&target.addresses, options)
                .await
                .map_err(|error| Failure::connecting(error, &target.hint))?
        }
    };
    let status = client.insert(connection).status().await?;
    match status::missing(&status, args.goal) {
        None => Ok(()),
        Some(missing) => {
            let sentence = format!("{missing}: see `piazza status`");
            Err(Failure::new(Exit::NotThere, "not_met", sentence))
        }
    }
}
