//! `tollway keys`

use clap::{Args, Subcommand};
use control::api::{List, RollRequest, SigningKeyItem, paths};

use super::args::{Common, Wait};
use super::failure::Failure;
use super::{client, output, wait_query, waiting_client};

/// `tollway keys`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List them: which is published, which signs, which retires
    List(Common),
    /// Publish the next keys; they sign when their time ahead is over
    Roll(Roll),
}

/// `tollway keys roll`
#[derive(Debug, Args)]
pub struct Roll {
    /// A private key got lost: take all present keys back at once. Every token is refused from then on, log-ins too
    #[arg(long)]
    pub now: bool,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// Carries out `tollway keys …`.
pub(crate) async fn run(command: Keys) -> Result<(), Failure> {
    match command {
        Keys::List(common) => {
            let keys: Vec<SigningKeyItem> =
                client(&common.target)?.list(paths::SIGNING_KEYS).await?;
            show(&keys, &common)
        }
        Keys::Roll(roll) => {
            let path = paths::SIGNING_KEYS_ROLL.to_owned() + &wait_query(roll.wait, '?');
            let request = RollRequest { now: roll.now };
            let keys: List<SigningKeyItem> = waiting_client(&roll.common.target, roll.wait)?
                .post(&path, &request)
                .await?;
            if roll.now {
                eprintln!("all keys are new; log in again");
            }
            show(&keys.items, &roll.common)
        }
    }
}

fn show(keys: &[SigningKeyItem], common: &Common) -> Result<(), Failure> {
    let columns = ["KID", "ALGORITHM", "STATE", "SINCE", "WITHDRAWN"];
    output::list(keys, common.output, &columns, |key| {
        let until = key
            .until_unix_s
            .map(|s| output::time(s.saturating_mul(1000)));
        vec![
            key.kid.clone(),
            key.algorithm.as_str().to_owned(),
            key.state.clone(),
            output::time(key.since_unix_ms),
            until.unwrap_or_default(),
        ]
    })
}
