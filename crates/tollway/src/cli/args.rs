//! The command line, noun verb.
#![expect(
    missing_docs,
    reason = "a doc comment on a flattened field would change the help text"
)]

mod revisions;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use spec::RuleSeverity;

use crate::up::{Options, SecretText, Span};
pub use revisions::{ApiDiff, Audit, Deploy, Rollback, Undeploy, Undo};

/// The API platform in one binary: `tollway up` runs it, everything else talks to one that runs.
///
/// Exit codes: 0 done; 1 the answer is no (diff found changes, validate or lint found errors, explain knows nothing, a
/// node can call no endpoint of a backend, not every gateway serves a change yet); 2 wrong usage, or a local file or address cannot be used; 3 the platform refused;
/// 4 the platform cannot be reached.
#[derive(Debug, Parser)]
#[command(name = "tollway", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the platform: control plane, authorization server and gateway in one process
    Up(Box<Options>),
    /// Let a new binary take over from the platform that runs on a data folder, without losing a connection; exit code 1
    /// when the running one goes on
    Upgrade(super::upgrade::Upgrade),
    /// Have the platform that runs on a data folder read its config file and certificates again, as SIGHUP does
    Reload(super::upgrade::Local),
    /// Bring the schema of a database up to date, after a backup, while no platform runs on it
    Migrate(Migrate),
    /// Copy the embedded database to a file, while the platform runs
    Backup(Backup),
    /// Put a copy of the embedded database in place; the platform must not run
    Restore(Restore),
    /// The database: move
    #[command(subcommand)]
    Database(Database),
    /// Log in to a platform and remember the token
    Login(Login),
    /// Forget the token and revoke it
    Logout(Target),
    /// APIs: import, list, get, definition, state, revisions, deploy, undeploy, rollback, diff, delete
    #[command(subcommand)]
    Api(Api),
    /// Token issuers outside of the platform: list, get, delete; status of their keys
    #[command(subcommand)]
    Issuer(super::issuers::Issuer),
    /// Backends: list, get, delete; status of their endpoints
    #[command(subcommand)]
    Backend(super::backends::Backend),
    /// Plans: list, get, delete
    #[command(subcommand)]
    Plan(Documents),
    /// Gateways: list, get, delete
    #[command(subcommand)]
    Gateway(Documents),
    /// Deny rules: list, get, delete; made by `apply`
    #[command(subcommand)]
    Deny(Documents),
    /// Applications: create, list, get, delete
    #[command(subcommand)]
    App(App),
    /// Subscriptions: create, list, get, delete
    #[command(subcommand)]
    Subscription(Subscription),
    /// OAuth clients of an application: create, list, get, change, rotate, end-secret, delete
    #[command(subcommand)]
    Credentials(super::credentials::Credentials),
    /// API keys of an application: create, list, get, change, rotate, end-secret, delete
    #[command(subcommand, name = "apikey")]
    ApiKey(super::credentials::ApiKeys),
    /// Get an access token for an application, minted by the control API
    Token(Token),
    /// The keys that tokens are signed with: list, roll (admin)
    #[command(subcommand)]
    Keys(super::keys::Keys),
    /// Tokens that clients may register themselves with (RFC 7591): create, list, delete (admin)
    #[command(subcommand)]
    Registration(super::registration::Registration),
    /// Users: create, list, delete (admin)
    #[command(subcommand)]
    User(User),
    /// Where people are logged in: list, end
    #[command(subcommand)]
    Session(super::people::Sessions),
    /// What people allow applications: list, withdraw
    #[command(subcommand)]
    Consent(super::people::Consents),
    /// Make a line for the list of users of the policy `basic`; needs no platform
    BasicUser(super::basic_user::BasicUser),
    /// What was called, how often, how long it took; `usage reconcile` shows whether all of it is stored
    Usage(Box<Usage>),
    /// Create and change everything that the documents in files or folders describe, in one transaction
    Apply(Apply),
    /// Show what `apply` would change; exit code 1 when something would
    Diff(Diff),
    /// Write all documents and definitions to a folder
    Export(Export),
    /// Show who changed what, newest first
    Audit(Audit),
    /// Take back what a revision of the store changed, as a new revision
    Undo(Undo),
    /// Check documents without a platform; prints `file:line:column pointer message`
    Validate(Validate),
    /// Say why a call was refused or failed, by the trace id of its answer; exit code 1 when nothing is known of it
    Explain(Explain),
    /// Hold OpenAPI definitions against a rule set; prints `file:line:column severity rule message`
    Lint(Lint),
    /// Show the fields of a kind of document
    ExplainKind(ExplainKind),
    /// Print a completion script
    Completion {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// Which platform, and as whom.
#[derive(Clone, Debug, Default, Args)]
pub struct Target {
    /// URL of the control API [default: that of the last login]
    #[arg(long, env = "TOLLWAY_SERVER", value_name = "URL", global = true)]
    pub server: Option<String>,
    /// Token of the control API [default: that of the last login]
    #[arg(
        long,
        env = "TOLLWAY_TOKEN",
        value_name = "TOKEN",
        global = true,
        hide_env_values = true
    )]
    pub token: Option<String>,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
    /// For files
    Yaml,
}

/// [`Target`] and [`Format`].
#[derive(Clone, Debug, Args)]
pub struct Common {
    #[command(flatten)]
    pub target: Target,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Whether to wait for the gateways.
#[derive(Clone, Copy, Debug, Args)]
pub struct Wait {
    /// Return as soon as the change is stored, without waiting until every gateway serves it
    #[arg(long)]
    pub no_wait: bool,
    /// Wait no longer than this for the gateways [default: as the platform is configured]
    #[arg(long, value_name = "DURATION", conflicts_with = "no_wait")]
    pub timeout: Option<Span>,
}

/// Which database: named as for `tollway up`.
#[derive(Debug, Args)]
pub struct DatabaseOf {
    /// Config file (TOML) of `tollway up`
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the embedded database [default: ./tollway-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// URL of a PostgreSQL database; others can read it in the process list, so better use the file
    #[arg(
        long,
        env = "TOLLWAY_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub database_url: Option<SecretText>,
    /// File with the URL of a PostgreSQL database
    #[arg(long, value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
}

/// `tollway migrate`
#[derive(Debug, Args)]
pub struct Migrate {
    /// Show which migrations the database has seen and which would run; changes nothing
    #[arg(long, conflicts_with = "run", required_unless_present = "run")]
    pub plan: bool,
    /// Run them
    #[arg(long)]
    pub run: bool,
    /// File for the backup that is made before [default: beside the embedded database; PostgreSQL: in the data folder]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "without_backup"])]
    pub backup: Option<PathBuf>,
    /// Make no backup: there is another one
    #[arg(long, conflicts_with = "plan")]
    pub without_backup: bool,
    #[command(flatten)]
    pub database: DatabaseOf,
    /// Output format of the plan
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `tollway backup`
#[derive(Debug, Args)]
pub struct Backup {
    /// The copy; it must not exist
    pub file: PathBuf,
    #[command(flatten)]
    pub database: DatabaseOf,
}

/// `tollway restore`
#[derive(Debug, Args)]
pub struct Restore {
    /// The copy; it stays where it is
    pub file: PathBuf,
    #[command(flatten)]
    pub database: DatabaseOf,
}

/// `tollway database`
#[derive(Debug, Subcommand)]
pub enum Database {
    /// Move everything from the embedded database of the data folder to an empty PostgreSQL database
    Move(DatabaseMove),
}

/// `tollway database move`
#[derive(Debug, Args)]
pub struct DatabaseMove {
    #[command(flatten)]
    pub database: DatabaseOf,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `tollway login`
#[derive(Debug, Args)]
pub struct Login {
    /// URL of the control API
    #[arg(
        long,
        env = "TOLLWAY_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:9400"
    )]
    pub server: String,
    /// User name
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub user: String,
    /// File with the password; `-` reads it from standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: PathBuf,
}

/// `tollway api`
#[derive(Debug, Subcommand)]
pub enum Api {
    /// Make an API of an OpenAPI definition
    Import(Box<Import>),
    /// List APIs
    List(Common),
    /// Show an API
    Get(One),
    /// Print the definition of an API as it was sent, or write all of its files
    Definition(Definition),
    /// Move an API through its life cycle
    State(State),
    /// List the revisions of an API and the gateways that serve them
    Revisions(One),
    /// Let a gateway serve a revision of an API
    Deploy(Deploy),
    /// Let a gateway serve an API no more
    Undeploy(Undeploy),
    /// Let a gateway serve the revision that it served before
    Rollback(Rollback),
    /// Compare two revisions of an API; exit code 1 when the later one breaks callers
    Diff(ApiDiff),
    /// Delete an API
    Delete(Gone),
}

/// Reads `ID=SEVERITY`. Whether there is such a rule, whoever knows the rules says.
fn rule(text: &str) -> Result<(String, RuleSeverity), String> {
    let (id, severity) = text
        .split_once('=')
        .ok_or("write it as in duplicate-tag=warning")?;
    let severity = severity
        .parse()
        .map_err(|error: spec::UnknownSeverity| error.to_string())?;
    Ok((id.to_owned(), severity))
}

/// `tollway api import`
#[derive(Debug, Args)]
pub struct Import {
    /// The definition (OpenAPI 2.0, 3.0 or 3.1; YAML or JSON) with the files that it refers to; a zip archive of them; or
    /// the URL of either, which the platform fetches
    #[arg(value_name = "FILE|URL")]
    pub definition: PathBuf,
    /// In an archive: the file that refers to the others [default: the one that is clearly it]
    #[arg(long, value_name = "NAME")]
    pub root: Option<String>,
    /// Name [default: the definition's title, made fit]
    #[arg(long)]
    pub name: Option<String>,
    /// Version [default: the definition's]
    #[arg(long = "version", id = "api_version", value_name = "VERSION")]
    pub version: Option<String>,
    /// Path that the API is served under [default: / and the name]
    #[arg(long)]
    pub context: Option<String>,
    /// URL of the backend [default: the definition's servers]
    #[arg(long, value_name = "URL")]
    pub backend: Option<String>,
    /// Plan that applications may subscribe under; may be given several times
    #[arg(long = "plan", value_name = "NAME")]
    pub plans: Vec<String>,
    /// Severity of a rule that the definition is held against: off, warning or error; may be given several times
    #[arg(long = "rule", value_name = "ID=SEVERITY", value_parser = rule)]
    pub rules: Vec<(String, RuleSeverity)>,
    /// Publish it at once
    #[arg(long)]
    pub publish: bool,
    /// Serve it at the bare context too
    #[arg(long)]
    pub default_version: bool,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway api definition`
#[derive(Debug, Args)]
pub struct Definition {
    /// NAME:VERSION, or the name of its document
    pub name: String,
    /// As one text in JSON, references into other files replaced by local ones
    #[arg(long, conflicts_with = "directory")]
    pub bundled: bool,
    /// Write every file of the definition below this folder
    #[arg(short, long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    #[command(flatten)]
    pub target: Target,
}

/// One object.
#[derive(Debug, Args)]
pub struct One {
    /// Its name; an API also as NAME:VERSION
    pub name: String,
    #[command(flatten)]
    pub common: Common,
}

/// One object to delete.
#[derive(Debug, Args)]
pub struct Gone {
    /// Its name; an API also as NAME:VERSION
    pub name: String,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub target: Target,
}

/// `tollway api state`
#[derive(Debug, Args)]
pub struct State {
    /// NAME:VERSION
    pub name: String,
    /// created, prototyped, published, blocked, deprecated or retired
    pub state: String,
    /// With deprecated: the day (YYYY-MM-DD) on which the API will go away
    #[arg(long, value_name = "DATE")]
    pub sunset: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// Kinds that are written as documents (`apply`) and only looked at here.
#[derive(Debug, Subcommand)]
pub enum Documents {
    /// List them
    List(Common),
    /// Show one
    Get(One),
    /// Delete one
    Delete(Gone),
}

/// `tollway app`
#[derive(Debug, Subcommand)]
pub enum App {
    /// Register an application
    Create(AppCreate),
    /// List applications
    List(Common),
    /// Show an application
    Get(One),
    /// Delete an application with its subscriptions and credentials
    Delete(Gone),
}

/// `tollway app create`
#[derive(Debug, Args)]
pub struct AppCreate {
    /// Its name
    pub name: String,
    /// What it is
    #[arg(long)]
    pub description: Option<String>,
    /// Lifetime of its tokens
    #[arg(long, value_name = "DURATION")]
    pub token_lifetime: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway subscription`
#[derive(Debug, Subcommand)]
pub enum Subscription {
    /// Subscribe an application to an API
    Create(SubscriptionCreate),
    /// List subscriptions
    List(Common),
    /// Show a subscription
    Get(One),
    /// End a subscription
    Delete(Gone),
}

/// `tollway subscription create`
#[derive(Debug, Args)]
pub struct SubscriptionCreate {
    /// The application
    #[arg(long)]
    pub app: String,
    /// The API, NAME:VERSION
    #[arg(long)]
    pub api: String,
    /// The plan
    #[arg(long)]
    pub plan: String,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// Which backends the calls of a credential go to.
#[derive(Clone, Copy, Debug, Args)]
pub struct For {
    /// For the sandbox backends instead of those of production
    #[arg(long)]
    pub sandbox: bool,
}

/// `tollway token`
#[derive(Debug, Args)]
pub struct Token {
    /// The application
    #[arg(long)]
    pub app: String,
    #[command(flatten)]
    pub purpose: For,
    /// Ask for these scopes only; may be given several times [default: all that its subscriptions grant]
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway user`
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a user
    Create(UserCreate),
    /// List users
    List(Common),
    /// Delete a user
    Delete(Gone),
}

/// `tollway user create`
#[derive(Debug, Args)]
pub struct UserCreate {
    /// The name to log in with
    pub name: String,
    /// admin, publisher or subscriber; may be given several times
    #[arg(long = "role", value_name = "ROLE", required = true)]
    pub roles: Vec<String>,
    /// File with the password; `-` reads it from standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway usage`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Usage {
    #[command(subcommand)]
    pub command: Option<UsageCommand>,
    #[command(flatten)]
    pub question: UsageQuestion,
}

/// Below `tollway usage`.
#[derive(Debug, Subcommand)]
pub enum UsageCommand {
    /// Show what nodes sent and what is stored, by node and start; exit code 1 when something is missing (admin)
    Reconcile(Common),
}

/// Which usage, and how it is put together.
#[derive(Debug, Args)]
pub struct UsageQuestion {
    /// Of this API, NAME:VERSION or its document's name; `-` for calls that matched no API
    #[arg(long, value_name = "API", allow_hyphen_values = true)]
    pub api: Option<String>,
    /// Of this application; one that is gone by its id
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
    /// Of this operation: `operationId`, or `METHOD template`
    #[arg(long, value_name = "OPERATION")]
    pub operation: Option<String>,
    /// Under this plan
    #[arg(long, value_name = "NAME")]
    pub plan: Option<String>,
    /// Answered so: 1xx to 5xx, or `none` where the client went away before
    #[arg(long, value_name = "CLASS")]
    pub status: Option<String>,
    /// In this environment
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// From so long before the end, such as 90m or 7d [default: 1h]
    #[arg(long, value_name = "DURATION", conflicts_with = "from")]
    pub since: Option<String>,
    /// From this time on, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this time [default: now]
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// What rows differ in; several with commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    pub by: Vec<UsageBy>,
    /// A row for each minute, hour or day
    #[arg(long, value_enum)]
    pub step: Option<UsageStep>,
    #[command(flatten)]
    pub common: Common,
}

/// What rows of usage differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsageBy {
    /// The API
    Api,
    /// The operation
    Operation,
    /// The application
    App,
    /// The plan
    Plan,
    /// The class of the status
    Status,
    /// The environment
    Environment,
}

/// How long the time of a row of usage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsageStep {
    /// A minute
    Minute,
    /// An hour
    Hour,
    /// A day in UTC
    Day,
}

impl From<UsageStep> for store::Step {
    fn from(step: UsageStep) -> Self {
        match step {
            UsageStep::Minute => Self::Minute,
            UsageStep::Hour => Self::Hour,
            UsageStep::Day => Self::Day,
        }
    }
}

/// `tollway apply`
#[derive(Debug, Args)]
pub struct Apply {
    /// File or folder (with those below it) of documents; may be given several times
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    pub files: Vec<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Delete what the files do not describe
    #[arg(long)]
    pub prune: bool,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// File or folder (with those below it) of documents; may be given several times
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    pub files: Vec<PathBuf>,
    /// Count what the files do not describe as to be deleted
    #[arg(long)]
    pub prune: bool,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway export`
#[derive(Debug, Args)]
pub struct Export {
    /// The folder; made if it is not there, and it must be empty otherwise
    #[arg(short, long = "directory", value_name = "DIR")]
    pub directory: PathBuf,
    #[command(flatten)]
    pub target: Target,
}

/// `tollway validate`
#[derive(Debug, Args)]
pub struct Validate {
    /// Files or folders of documents, or OpenAPI definitions
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Severity of a rule for definitions that no document names: off, warning or error; may be given several times
    #[arg(long = "rule", value_name = "ID=SEVERITY", value_parser = rule)]
    pub rules: Vec<(String, RuleSeverity)>,
}

/// `tollway explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// `traceId` of the problem, 32 hexadecimal digits
    pub trace_id: String,
    #[command(flatten)]
    pub common: Common,
}

/// `tollway lint`
#[derive(Debug, Args)]
pub struct Lint {
    /// OpenAPI definitions; files or folders of documents stand for the definitions that they name
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Rule set in the format of Spectral (docs/lint.md) [default: the built-in rules that are recommended]
    #[arg(long, value_name = "FILE")]
    pub ruleset: Option<PathBuf>,
    /// The least severity that makes the exit code 1: error, warn, info or hint
    #[arg(long, value_name = "SEVERITY", default_value = "error", value_parser = severity)]
    pub fail_severity: lint::Severity,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

fn severity(text: &str) -> Result<lint::Severity, &'static str> {
    text.parse()
        .map_err(|_| "known are error, warn, info and hint")
}

/// `tollway explain-kind`
#[derive(Debug, Args)]
pub struct ExplainKind {
    /// Api, Backend, Plan, Application, Subscription, Gateway, TokenIssuer or DenyRule
    pub kind: String,
}
