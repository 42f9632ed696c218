//! `tollway session` and `tollway consent`

use clap::{Args, Subcommand};
use control::api::{ClientName, ConsentItem, SessionItem, paths};

use super::args::{Common, Target, Wait};
use super::failure::Failure;
use super::{client, output, wait_query, waiting_client};

/// `tollway session`
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List where people are logged in: one's own; as admin those of everybody
    List(Listed),
    /// End one, or all of a user; tokens of it are refused at once
    End(End),
}

/// `tollway consent`
#[derive(Debug, Subcommand)]
pub enum Consents {
    /// List what people allow applications: one's own; as admin those of everybody
    List(Listed),
    /// Take one back, or all of a user; what the application was given ends at once
    Withdraw(End),
}

/// `tollway session list`, `tollway consent list`
#[derive(Debug, Args)]
pub struct Listed {
    /// Of this user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway session end`, `tollway consent withdraw`
#[derive(Debug, Args)]
pub struct End {
    /// The session's id, or the client id, from `list`
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub id: Option<String>,
    /// All of the user
    #[arg(long)]
    pub all: bool,
    /// Of this user [default: oneself]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub target: Target,
}

/// Carries out `tollway session …`.
pub(crate) async fn sessions(command: Sessions) -> Result<(), Failure> {
    match command {
        Sessions::List(listed) => {
            let path = of_user(paths::SESSIONS, listed.user.as_deref());
            let items: Vec<SessionItem> = client(&listed.common.target)?.list(&path).await?;
            let columns = [
                "ID",
                "USER",
                "SINCE",
                "LAST USED",
                "ADDRESS",
                "BROWSER",
                "APPLICATIONS",
            ];
            output::list(&items, listed.common.output, &columns, |item| {
                let clients: Vec<&str> = item.clients.iter().map(name).collect();
                vec![
                    item.id.clone(),
                    item.user.clone(),
                    output::time(item.logged_in_unix_s.saturating_mul(1000)),
                    output::time(item.seen_unix_s.saturating_mul(1000)),
                    item.address.clone().unwrap_or_default(),
                    item.agent.clone().unwrap_or_default(),
                    clients.join(", "),
                ]
            })
        }
        // A session says itself whose it is.
        Sessions::End(end) => match &end.id {
            Some(id) => {
                let path = format!("{}/{}", paths::SESSIONS, paths::escaped(id));
                remove(&end, path, '?').await
            }
            None => remove_all(&end, paths::SESSIONS).await,
        },
    }
}

/// Carries out `tollway consent …`.
pub(crate) async fn consents(command: Consents) -> Result<(), Failure> {
    match command {
        Consents::List(listed) => {
            let path = of_user(paths::CONSENTS, listed.user.as_deref());
            let items: Vec<ConsentItem> = client(&listed.common.target)?.list(&path).await?;
            let columns = ["CLIENT ID", "APPLICATION", "USER", "SCOPES", "SINCE"];
            output::list(&items, listed.common.output, &columns, |item| {
                let scopes: Vec<&str> = item.scopes.iter().map(String::as_str).collect();
                vec![
                    item.client.client_id.clone(),
                    item.client.name.clone(),
                    item.user.clone(),
                    scopes.join(" "),
                    output::time(item.since_unix_ms),
                ]
            })
        }
        Consents::Withdraw(end) => match &end.id {
            Some(id) => {
                let path = format!("{}/{}", paths::CONSENTS, paths::escaped(id));
                let (path, glue) = with_user(&path, end.user.as_deref());
                remove(&end, path, glue).await
            }
            None => remove_all(&end, paths::CONSENTS).await,
        },
    }
}

async fn remove_all(end: &End, path: &str) -> Result<(), Failure> {
    let (path, glue) = with_user(path, end.user.as_deref());
    remove(end, path, glue).await
}

async fn remove(end: &End, path: String, glue: char) -> Result<(), Failure> {
    let path = path + &wait_query(end.wait, glue);
    waiting_client(&end.target, end.wait)?.delete(&path).await?;
    eprintln!("ended");
    Ok(())
}

fn of_user(path: &str, user: Option<&str>) -> String {
    with_user(path, user).0
}

/// A path with its query so far, and what joins more to it.
fn with_user(path: &str, user: Option<&str>) -> (String, char) {
    match user {
        Some(user) => (format!("{path}?user={}", paths::escaped(user)), '&'),
        None => (path.to_owned(), '?'),
    }
}

fn name(client: &ClientName) -> &str {
    if client.name.is_empty() {
        &client.client_id
    } else {
        &client.name
    }
}
