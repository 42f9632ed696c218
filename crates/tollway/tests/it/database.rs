//! The database of the platform: PostgreSQL, several processes on one, migrations, copies, moving.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use parts::Postgres;
use serde_json::json;
use tempfile::TempDir;

use crate::platform::{BINARY, Platform, up};

/// A file with the URL of a new database, and the database's name.
fn url_file(folder: &Path) -> (PathBuf, String) {
    let url = Postgres::shared().database();
    let name = url.rsplit_once('/').unwrap().1.to_owned();
    let file = folder.join(format!("url-{name}"));
    std::fs::write(&file, format!("{url}\n")).unwrap();
    (file, name)
}

fn on(data: &Path, url_file: &Path) -> Command {
    let mut command = up(data);
    command.arg("--database-url-file").arg(url_file);
    command
}

fn tollway(arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    // Servers' programs, as where PostgreSQL is installed.
    let path = std::env::var("PATH").unwrap_or_default();
    let programs = Postgres::shared().programs().display();
    command
        .args(arguments)
        .env("PATH", format!("{programs}:{path}"))
        .env_remove("TOLLWAY_DATABASE_URL")
        .stdin(Stdio::null());
    command.output().unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    no_password(&text);
    String::from_utf8_lossy(&output.stdout).into_owned() + &text
}

/// Exit code 2 and one line.
#[track_caller]
fn refused(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    no_password(&text);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("tollway: "))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    lines[0].to_owned()
}

#[track_caller]
fn no_password(text: &str) {
    for secret in [Postgres::shared().password(), "of%20this", "postgres://"] {
        assert!(!text.contains(secret), "{text}");
    }
}

fn made_password(platform: &Platform) -> Option<&String> {
    let mut lines = platform.printed.iter();
    lines.find(|line| line.starts_with("password of admin: "))
}

/// Two processes that start on one new database at the same time: one admin, one set of keys. They share the key file.
#[test]
fn a_first_start_of_two_makes_one_of_everything() {
    let folder = TempDir::new().unwrap();
    let (url_file, name) = url_file(folder.path());
    let starting: Vec<_> = ["a", "b"]
        .map(|data| {
            let mut command = on(&folder.path().join(data), &url_file);
            command.arg("--key-file").arg(folder.path().join("key"));
            std::thread::spawn(move || Platform::start(command))
        })
        .into();
    let running: Vec<_> = starting
        .into_iter()
        .map(|starting| starting.join().unwrap())
        .collect();
    let made = running.iter().filter_map(made_password).count();
    assert_eq!(made, 1, "one of them made the admin");
    let count = |table| {
        let query = format!("SELECT count(*) FROM {table}");
        Postgres::shared().sql(&name, &query)
    };
    assert_eq!(count("users"), "1");
    assert_eq!(count("signing_keys"), "2", "ES256 and Ed25519, once");
    assert_eq!(count("resources WHERE kind = 'Gateway'"), "1");
    assert_eq!(count("resources WHERE kind = 'Plan'"), "4");
    // No file of an embedded database beside it.
    assert!(!folder.path().join("a/tollway.db").exists());
}

/// A key file that is not the database's own is refused, and none is made where one has to be brought.
#[test]
fn the_key_file_must_belong_to_the_database() {
    let folder = TempDir::new().unwrap();
    let (url_file, _) = url_file(folder.path());
    let first = Platform::start(on(&folder.path().join("a"), &url_file));

    let other = folder.path().join("b");
    let line = refused(&on(&other, &url_file).output().unwrap());
    assert!(
        line.contains("tollway.key") && line.contains("--key-file"),
        "{line}"
    );
    assert!(!other.join("tollway.key").exists(), "none was made");

    // One of another platform.
    let stranger = Platform::start(up(&folder.path().join("c")));
    assert!(stranger.terminate().success());
    let mut command = on(&other, &url_file);
    command
        .arg("--key-file")
        .arg(folder.path().join("c/tollway.key"));
    let line = refused(&command.output().unwrap());
    assert!(
        line.contains("c/tollway.key") && line.contains("is not the key file"),
        "{line}"
    );

    let mut command = on(&other, &url_file);
    command
        .arg("--key-file")
        .arg(folder.path().join("a/tollway.key"));
    let second = Platform::start(command);
    assert_eq!(made_password(&second), None);
    assert!(first.terminate().success() && second.terminate().success());
}

/// The same holds for the embedded database: a lost key file is told of before anything is made anew.
#[test]
fn a_lost_key_file_is_not_made_anew() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    assert!(Platform::start(up(&data)).terminate().success());
    std::fs::remove_file(data.join("tollway.key")).unwrap();
    let line = refused(&up(&data).output().unwrap());
    assert!(line.contains("tollway.key"), "{line}");
    assert!(!data.join("tollway.key").exists());
}

/// By environment and by config file; never repeated; named twice is refused.
#[test]
fn the_url_is_a_secret_wherever_it_comes_from() {
    let folder = TempDir::new().unwrap();
    let url = Postgres::shared().database();
    let data = folder.path().join("data");
    let mut command = up(&data);
    command.env("TOLLWAY_DATABASE_URL", &url);
    assert!(Platform::start(command).terminate().success());

    let config = folder.path().join("tollway.toml");
    std::fs::write(&config, format!("database-url = \"{url}\"\n")).unwrap();
    let mut command = up(&data);
    command.arg("--config").arg(&config);
    assert!(Platform::start(command).terminate().success());

    let mut command = up(&data);
    command.env("TOLLWAY_DATABASE_URL", &url);
    command.arg("--database-url-file").arg(&config);
    let line = refused(&command.output().unwrap());
    assert!(line.contains("named twice"), "{line}");

    let mut command = up(&data);
    command
        .arg("--database-url")
        .arg(url.replace("/test_", "/none_"));
    let line = refused(&command.output().unwrap());
    assert!(line.contains("there is no database none_"), "{line}");
    let mut command = up(&data);
    command
        .arg("--database-url")
        .arg(format!("{url}?sslmod=require"));
    let line = refused(&command.output().unwrap());
    assert!(line.contains("`sslmod`"), "{line}");
}

/// Makes a database look as the program before this one left it: without what the newest migration made. Returns the newest
/// migration that is left, and the one that is gone.
fn age(name: &str) -> (String, String) {
    let postgres = Postgres::shared();
    let newest = || postgres.sql(name, "SELECT max(version) FROM seaql_migrations");
    let gone = newest();
    assert_eq!(
        gone, "m0009_outside_clients",
        "drop here what a newer migration makes"
    );
    postgres.sql(
        name,
        "DELETE FROM seaql_migrations WHERE version = 'm0009_outside_clients'; \
         DROP INDEX credentials_client_at_issuer; DROP INDEX credentials_client_id; \
         CREATE UNIQUE INDEX credentials_client_id ON credentials (client_id)",
    );
    (newest(), gone)
}

/// req: C7
#[test]
fn an_older_schema_on_a_server_is_migrated_by_a_command_of_its_own() {
    let folder = TempDir::new().unwrap();
    let (url_file, name) = url_file(folder.path());
    let data = folder.path().join("data");
    assert!(Platform::start(on(&data, &url_file)).terminate().success());
    let (present, newest) = age(&name);

    let line = refused(&on(&data, &url_file).output().unwrap());
    for part in [&*present, &newest, "tollway migrate --run"] {
        assert!(line.contains(part), "{line}");
    }
    let database = [
        "--database-url-file",
        url_file.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let migrate = |arguments: &[&str]| tollway(&[&["migrate"], arguments, &database].concat());
    let plan = done(&migrate(&["--plan", "-o", "json"]));
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan[0]["migration"], "m0001_foundation");
    assert_eq!(plan[0]["state"], "applied");
    let (last, before) = plan.as_array().unwrap().split_last().unwrap();
    assert!(before.iter().all(|step| step["state"] == "applied"));
    assert_eq!(
        (&last["migration"], &last["state"]),
        (&json!(newest), &json!("pending"))
    );

    // No backup, no migration.
    let mut command = Command::new(BINARY);
    command
        .args(["migrate", "--run"])
        .args(database)
        .env("PATH", "/nowhere");
    let line = refused(&command.output().unwrap());
    assert!(line.contains("back") && line.contains("pg_dump"), "{line}");
    let applied = "SELECT count(*) FROM seaql_migrations";
    assert_eq!(
        Postgres::shared().sql(&name, applied),
        before.len().to_string()
    );

    let dump = folder.path().join("before.dump");
    let said = done(&migrate(&["--run", "--backup", dump.to_str().unwrap()]));
    assert!(said.contains("before.dump"), "{said}");
    let head = std::fs::read(&dump).unwrap();
    assert!(head.starts_with(b"PGDMP"), "a dump that pg_restore reads");
    let said = done(&migrate(&["--run"]));
    assert!(said.contains("nothing to do"), "{said}");
    assert!(Platform::start(on(&data, &url_file)).terminate().success());

    // And without one, where that is said.
    age(&name);
    done(&migrate(&["--run", "--without-backup"]));

    // One that is newer than the program.
    Postgres::shared().sql(
        &name,
        "INSERT INTO seaql_migrations VALUES ('m9999_future', 0)",
    );
    for output in [
        on(&data, &url_file).output().unwrap(),
        migrate(&["--run"]),
        migrate(&["--plan"]),
    ] {
        let line = refused(&output);
        assert!(
            line.contains("m9999_future") && line.contains("newer"),
            "{line}"
        );
    }
}

/// req: C7
#[test]
fn an_embedded_database_shows_its_plan() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let of = ["--data-dir", data.to_str().unwrap()];
    let plan = done(&tollway(&[&["migrate", "--plan"], &of[..]].concat()));
    assert!(plan.contains("pending"), "{plan}");
    assert!(!data.exists(), "a plan makes nothing");
    let line = refused(&tollway(&[&["migrate", "--run"], &of[..]].concat()));
    assert!(line.contains("tollway.db"), "{line}");
    let platform = Platform::start(up(&data));
    let line = refused(&tollway(&[&["migrate", "--run"], &of[..]].concat()));
    assert!(line.contains("in use"), "{line}");
    let plan = done(&tollway(&[&["migrate", "--plan"], &of[..]].concat()));
    assert!(!plan.contains("pending"), "{plan}");
    drop(platform);
    let said = done(&tollway(&[&["migrate", "--run"], &of[..]].concat()));
    assert!(said.contains("nothing to do"), "{said}");
}

#[test]
fn a_copy_is_made_while_the_platform_runs_and_put_back_when_it_does_not() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let copy = folder.path().join("copy.db");
    let arguments = |command| {
        [
            command,
            copy.to_str().unwrap(),
            "--data-dir",
            data.to_str().unwrap(),
        ]
    };
    let platform = Platform::start(up(&data));
    let said = done(&tollway(&arguments("backup")));
    assert!(said.contains("tollway.key"), "{said}");
    let line = refused(&tollway(&arguments("backup")));
    assert!(line.contains("exists"), "{line}");
    let line = refused(&tollway(&arguments("restore")));
    assert!(line.contains("in use by another tollway"), "{line}");
    assert!(platform.terminate().success());

    let said = done(&tollway(&arguments("restore")));
    assert!(said.contains("before-restore"), "{said}");
    let platform = Platform::start(up(&data));
    assert_eq!(
        made_password(&platform),
        None,
        "the users are those of the copy"
    );
    assert!(platform.terminate().success());

    // Into an empty folder, with the key file.
    let other = folder.path().join("other");
    let into = [
        "restore",
        copy.to_str().unwrap(),
        "--data-dir",
        other.to_str().unwrap(),
    ];
    let said = done(&tollway(&into));
    assert!(said.contains("put its key file"), "{said}");
    refused(&up(&other).output().unwrap());
    std::fs::copy(data.join("tollway.key"), other.join("tollway.key")).unwrap();
    assert!(Platform::start(up(&other)).terminate().success());

    let (url_file, _) = url_file(folder.path());
    let server = ["--database-url-file", url_file.to_str().unwrap()];
    let line = refused(&tollway(&[&arguments("backup")[..], &server].concat()));
    assert!(line.contains("pg_dump"), "{line}");
}

/// The first start does not list the steps of filling its database.
#[test]
fn the_first_start_logs_no_migrations() {
    let folder = TempDir::new().unwrap();
    let mut process = up(&folder.path().join("data")).spawn().unwrap();
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(process.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().starts_with("node ")));
    process.kill().unwrap();
    let output = process.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains("migration"), "{log}");
}
