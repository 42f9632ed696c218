//! `tollway basic-user`: lines for the list of users of the policy `basic`.

use std::process::{Command, Output, Stdio};

use base::Secret;

const PASSWORD: &str = "correct horse battery staple";

fn run(arguments: &[&str], input: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollway"));
    command.arg("basic-user").args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    if let Some(input) = input {
        // Who refuses the arguments does not read.
        let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
    }
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[tokio::test]
async fn a_line_holds_a_hash_and_the_password_is_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let file = file.to_str().unwrap();
    let from_file = run(&["alice", "--password-file", file], None);
    let from_stdin = run(&["alice", "--password-file", "-"], Some(PASSWORD));
    for output in [from_file, from_stdin] {
        assert!(output.status.success());
        let (line, errors) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        assert!(!line.contains(PASSWORD) && !errors.contains(PASSWORD));
        let hash = line.trim_end().strip_prefix("alice:").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        let passwords = credentials::Passwords::default();
        let is = |password: &str| {
            passwords.verify(Secret::new(password.to_owned()), Some(hash.to_owned()))
        };
        assert_eq!(is(PASSWORD).await, Ok(true));
        assert_eq!(is("another").await, Ok(false));
    }
    let json = run(&["alice", "--password-file", file, "-o", "json"], None);
    let made: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(made["name"], "alice");
    assert!(
        made["line"]
            .as_str()
            .unwrap()
            .starts_with("alice:$argon2id$")
    );
}

#[test]
fn what_cannot_be_a_line_is_refused() {
    let missing = ["alice", "--password-file", "/nonexistent/password"];
    for (arguments, input) in [
        (&["a:b", "--password-file", "-"][..], Some(PASSWORD)),
        (&["", "--password-file", "-"], Some(PASSWORD)),
        (&["alice", "--password-file", "-"], Some("\n")),
        (&missing, None),
        // Nobody is there to be asked.
        (&["alice"], Some(PASSWORD)),
    ] {
        let output = run(arguments, input);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!errors.contains(PASSWORD), "{errors}");
    }
}
