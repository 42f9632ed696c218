//! `tollway registration`

use clap::{Args, Subcommand};
use control::api::{RegistrationTokenItem, RegistrationTokenRequest, paths};

use super::args::{Common, Target};
use super::failure::Failure;
use super::{client, output};
use crate::up::Span;

/// `tollway registration`
#[derive(Debug, Subcommand)]
pub enum Registration {
    /// Make a token that clients may register themselves with; it is shown once
    Create(Create),
    /// List these tokens
    List(Common),
    /// Delete one; who is registered stays
    Delete(Delete),
}

/// `tollway registration create`
#[derive(Debug, Args)]
pub struct Create {
    /// What people call it
    #[arg(long)]
    pub name: Option<String>,
    /// How many clients may be registered with it
    #[arg(long, default_value_t = 1)]
    pub uses: u64,
    /// How long it works
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub expires_in: Span,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway registration delete`
#[derive(Debug, Args)]
pub struct Delete {
    /// The token's id, from `list`
    pub id: String,
    #[command(flatten)]
    pub target: Target,
}

/// Carries out `tollway registration …`.
pub(crate) async fn run(command: Registration) -> Result<(), Failure> {
    match command {
        Registration::Create(create) => {
            let request = RegistrationTokenRequest {
                name: create.name,
                uses: Some(create.uses),
                expires_in: Some(create.expires_in.0.as_secs()),
            };
            let made: RegistrationTokenItem = client(&create.common.target)?
                .post(paths::REGISTRATION_TOKENS, &request)
                .await?;
            eprintln!("the token is shown this once");
            output::one(&made, create.common.output, |made| {
                made.token.clone().unwrap_or_default()
            })
        }
        Registration::List(common) => {
            let tokens: Vec<RegistrationTokenItem> = client(&common.target)?
                .list(paths::REGISTRATION_TOKENS)
                .await?;
            let columns = ["ID", "NAME", "OWNER", "USES LEFT", "EXPIRES"];
            output::list(&tokens, common.output, &columns, |token| {
                vec![
                    token.id.clone(),
                    token.name.clone(),
                    token.owner.clone(),
                    token.uses_left.to_string(),
                    output::time(token.expires_unix_s.saturating_mul(1000)),
                ]
            })
        }
        Registration::Delete(gone) => {
            let path = format!(
                "{}/{}",
                paths::REGISTRATION_TOKENS,
                paths::escaped(&gone.id)
            );
            client(&gone.target)?.delete(&path).await?;
            eprintln!("deleted {}", gone.id);
            Ok(())
        }
    }
}
