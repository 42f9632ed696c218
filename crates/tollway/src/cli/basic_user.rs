//! `tollway basic-user`: a line for the list of users of the policy `basic`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::Command;

use base::Secret;
use clap::Args;
use credentials::Passwords;
use serde::Serialize;

use super::args::Format;
use super::{Failure, output, secret_from};

/// `tollway basic-user`
#[derive(Debug, Args)]
pub struct BasicUser {
    /// The user's name
    pub name: String,
    /// File with the password; `-` reads it from standard input [default: asked for at the terminal, not shown]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Serialize)]
struct Made {
    name: String,
    line: String,
}

/// Carries out `tollway basic-user NAME`.
pub(crate) async fn run(command: BasicUser) -> Result<(), Failure> {
    let BasicUser {
        name,
        password_file,
        output,
    } = command;
    if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
        let message = "a user name is not empty and has neither colons nor control characters";
        return Err(Failure::Usage(message.to_owned()));
    }
    let password = match password_file {
        Some(file) => secret_from(&file)?,
        None => asked()?,
    };
    if password.expose().is_empty() {
        return Err(Failure::Usage("the password is empty".to_owned()));
    }
    let hash = Passwords::default().hash(password).await;
    let hash = hash.map_err(|error| Failure::Usage(error.to_string()))?;
    let line = format!("{name}:{hash}");
    output::one(&Made { name, line }, output, |made| made.line.clone())
}

/// Asks at the terminal.
fn asked() -> Result<Secret<String>, Failure> {
    let stdin = std::io::stdin();
    let unusable =
        || Failure::Usage("there is no terminal to ask at: give --password-file FILE".to_owned());
    if !stdin.is_terminal() {
        return Err(unusable());
    }
    eprint!("Password: ");
    let _ = std::io::stderr().flush();
    let mut text = String::new();
    let read = {
        let _quiet = Quiet::begin().ok_or_else(unusable)?;
        stdin.lock().read_line(&mut text)
    };
    eprintln!();
    read.map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// While this is held the terminal does not show what is typed.
struct Quiet;

impl Quiet {
    fn begin() -> Option<Self> {
        let done = Command::new("stty").arg("-echo").status().ok()?;
        done.success().then_some(Self)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // The terminal is gone if that fails.
        let _ = Command::new("stty").arg("echo").status();
    }
}
