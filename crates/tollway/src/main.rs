//! `tollway`: the platform and its command line in one binary.
#![expect(clippy::print_stderr, reason = "a command-line tool talks on stderr")]

mod memory;

use std::process::ExitCode;

use clap::Parser;
use tollway::cli::args::{Cli, Command};

fn main() -> ExitCode {
    memory::small_pages();
    let cli = Cli::parse();
    // The one provider of cryptography; reqwest asks for the process's default.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("tollway: another provider of cryptography was installed before");
        return ExitCode::from(2);
    }
    match cli.command {
        Command::Up(options) => match tollway::up::run(*options, memory::GIVING) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("tollway: {error}");
                ExitCode::from(2)
            }
        },
        command => match block_on(tollway::cli::run(command)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                let text = failure.to_string();
                if !text.is_empty() {
                    eprintln!("tollway: {text}");
                }
                failure.exit_code()
            }
        },
    }
}

fn block_on(
    command: impl Future<Output = Result<(), tollway::cli::Failure>>,
) -> Result<(), tollway::cli::Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}
