//! The command line: what talks to a platform that runs, and what needs none.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command talks on standard output and error"
)]

mod apis;
mod apps;
pub mod args;
mod audit;
mod backends;
mod basic_user;
mod bundle;
mod client;
mod credentials;
mod database;
mod documents;
mod explain;
mod failure;
mod gitops;
mod issuers;
mod keys;
mod lint;
mod local;
mod output;
mod people;
mod registration;
mod revisions;
mod session;
mod upgrade;
mod usage;
mod users;

use std::path::Path;
use std::time::Duration;

use base::Secret;
use control::api::paths;
use serde::Deserialize;
use serde_json::json;
use store::RecordKind;

pub use failure::Failure;

use args::{Command, Login, Target};
use client::Client;
use session::Session;

/// Carries out a command other than `up`.
///
/// # Errors
/// [`Failure`] has the exit code.
pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(_) => Err(Failure::Usage("`up` runs by itself".into())),
        Command::Upgrade(command) => upgrade::upgrade(command),
        Command::Reload(local) => upgrade::reload(local),
        Command::Migrate(command) => database::migrate(command).await,
        Command::Backup(command) => database::backup(command).await,
        Command::Restore(command) => database::restore(command).await,
        Command::Database(args::Database::Move(command)) => database::move_database(command).await,
        Command::Login(login) => self::login(login).await,
        Command::Logout(target) => logout(&target).await,
        Command::Api(command) => apis::run(command).await,
        Command::Backend(command) => backends::run(command).await,
        Command::Issuer(command) => issuers::run(command).await,
        Command::Plan(command) => documents::run(RecordKind::Plan, command).await,
        Command::Gateway(command) => documents::run(RecordKind::Gateway, command).await,
        Command::Deny(command) => documents::run(RecordKind::DenyRule, command).await,
        Command::App(command) => apps::app(command).await,
        Command::Subscription(command) => apps::subscription(command).await,
        Command::Credentials(command) => self::credentials::clients(command).await,
        Command::ApiKey(command) => self::credentials::api_keys(command).await,
        Command::Token(token) => apps::token(token).await,
        Command::Keys(command) => self::keys::run(command).await,
        Command::Registration(command) => self::registration::run(command).await,
        Command::User(command) => users::run(command).await,
        Command::Session(command) => people::sessions(command).await,
        Command::Consent(command) => people::consents(command).await,
        Command::BasicUser(command) => basic_user::run(command).await,
        Command::Usage(usage) => self::usage::run(*usage).await,
        Command::Apply(apply) => gitops::apply(apply).await,
        Command::Diff(diff) => gitops::diff(diff).await,
        Command::Export(export) => gitops::export(export).await,
        Command::Audit(audit) => self::audit::audit(&audit).await,
        Command::Undo(undo) => self::audit::undo(&undo).await,
        Command::Validate(validate) => local::validate(&validate),
        Command::Explain(explain) => self::explain::run(explain).await,
        Command::Lint(lint) => self::lint::run(&lint),
        Command::ExplainKind(kind) => local::explain(&kind.kind),
        Command::Completion { shell } => local::completion(shell),
    }
}

fn client(target: &Target) -> Result<Client, Failure> {
    Client::new(Session::of(target)?)
}

/// A client that is as patient as its user wants to wait for the gateways.
fn waiting_client(target: &Target, wait: args::Wait) -> Result<Client, Failure> {
    let patience = wait.timeout.map_or(Duration::ZERO, |timeout| timeout.0);
    Ok(client(target)?.patient(patience))
}

/// How the user wants to wait, as a query; `glue` is `?` or `&`.
fn wait_query(wait: args::Wait, glue: char) -> String {
    match wait.timeout {
        _ if wait.no_wait => format!("{glue}wait=false"),
        Some(timeout) => format!("{glue}timeoutMs={}", timeout.as_ms()),
        None => String::new(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoginAnswer {
    access_token: String,
}

async fn login(login: Login) -> Result<(), Failure> {
    let password = secret_from(&login.password_file)?;
    let server = session::trimmed(&login.server);
    let client = Client::anonymous(server.clone())?;
    let body = json!({"username": login.user, "password": password.expose()});
    let answer: LoginAnswer = client
        .post(&format!("{}/login", paths::PREFIX), &body)
        .await?;
    Session {
        server: server.clone(),
        token: answer.access_token,
    }
    .save()?;
    eprintln!("logged in to {server} as {}", login.user);
    Ok(())
}

async fn logout(target: &Target) -> Result<(), Failure> {
    let client = client(target)?;
    let result: Result<(), Failure> = client
        .post(&format!("{}/logout", paths::PREFIX), &json!({}))
        .await;
    Session::forget()?;
    result
}

/// A secret from a file or, with `-`, from standard input; never from the command line, which others can see.
fn secret_from(file: &Path) -> Result<Secret<String>, Failure> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).map_err(|error| Failure::file(file, error))?
    } else {
        std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?
    };
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
