use std::net::IpAddr;

use base::{ManualClock, Secret};
use policy::Passwords as _;

use super::*;

async fn hash(password: &str) -> Arc<str> {
    let hashed = Passwords::default()
        .hash(Secret::new(password.to_owned()))
        .await;
    hashed.unwrap().into()
}

fn checker(options: &Options) -> (CheckedApart, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(1_800_000_000_000));
    (
        CheckedApart::new(options, Arc::clone(&clock) as _).unwrap(),
        clock,
    )
}

fn guess(name: &str, address: [u8; 4], password: &str, stored: Option<&Arc<str>>) -> PasswordGuess {
    PasswordGuess {
        list: "partners/users".into(),
        name: name.to_owned(),
        address: IpAddr::from(address),
        password: Secret::new(password.to_owned()),
        stored: stored.cloned(),
    }
}

#[tokio::test]
async fn right_wrong_and_unknown() {
    let (checker, _) = checker(&Options::default());
    let stored = hash("correct horse").await;
    let ask = |password, stored| checker.check(guess("alice", [192, 0, 2, 1], password, stored));
    assert_eq!(
        ask("correct horse", Some(&stored)).await,
        Ok(Guessed::Right)
    );
    assert_eq!(
        ask("battery staple", Some(&stored)).await,
        Ok(Guessed::Wrong)
    );
    // Whom nobody knows costs the same: a hash is made.
    let before = checker.passwords.hash_calls();
    assert_eq!(ask("correct horse", None).await, Ok(Guessed::Wrong));
    assert_eq!(checker.passwords.hash_calls(), before + 1);
    let broken: Arc<str> = "$argon2id$v=19$m=1,t=1,p=1$x$y".into();
    assert_eq!(ask("x", Some(&broken)).await, Err(NotAnswered::Unavailable));
    assert_eq!(checker.counts().checked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn guessing_costs_time_for_the_user_and_for_the_address() {
    let options = Options {
        identity_account_failures: Some(3),
        identity_address_failures: Some(5),
        ..Options::default()
    };
    let (checker, clock) = checker(&options);
    let stored = hash("correct horse").await;
    let from = |last: u8| [192, 0, 2, last];
    for _ in 0..3 {
        let answer = checker
            .check(guess("alice", from(1), "x", Some(&stored)))
            .await;
        assert_eq!(answer, Ok(Guessed::Wrong));
    }
    // The right one is not looked at either, wherever it comes from; others are not harmed.
    let right = |name, last| checker.check(guess(name, from(last), "correct horse", Some(&stored)));
    assert_eq!(right("alice", 2).await, Ok(Guessed::Wait(1)));
    assert_eq!(right("bob", 2).await, Ok(Guessed::Right));
    clock.advance_ms(1_000);
    assert_eq!(right("alice", 2).await, Ok(Guessed::Right));
    for name in ["a", "b"] {
        let answer = checker.check(guess(name, from(1), "x", None)).await;
        assert_eq!(answer, Ok(Guessed::Wrong));
    }
    assert_eq!(right("carol", 1).await, Ok(Guessed::Wait(1)));
    assert_eq!(checker.counts().guessing.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_bounded_number_at_once() {
    let options = Options {
        gateway_passwords_parallel: Some(1),
        gateway_passwords_waiting: Some(1),
        identity_address_failures: Some(1_000),
        ..Options::default()
    };
    let (checker, _) = checker(&options);
    let all = (0..20).map(|user| {
        let name = format!("user-{user}");
        checker.check(guess(&name, [192, 0, 2, 1], "x", None))
    });
    let all = futures_util::future::join_all(all).await;
    let busy = all
        .iter()
        .filter(|answer| **answer == Err(NotAnswered::TooMany))
        .count();
    assert_eq!(busy, 18, "one is worked on, one waits");
    assert_eq!(checker.counts().busy.load(Ordering::Relaxed), 18);
}
