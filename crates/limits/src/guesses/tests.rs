use super::*;

fn account(name: &str) -> Target<'_> {
    Target::Account {
        org: "default",
        name,
    }
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

/// Counts as failed: nobody says that it was right.
fn fail(guesses: &Guesses, name: &str, address: &str, now_ms: u64) -> Result<(), u64> {
    guesses
        .attempt(account(name), ip(address), now_ms)
        .map(|_| ())
}

#[test]
fn the_delay_of_an_account_doubles_up_to_its_bound() {
    let guesses = Guesses::new(GuessLimits::default());
    for number in 0..5 {
        let address = format!("192.0.2.{number}");
        assert_eq!(fail(&guesses, "ada", &address, 0), Ok(()));
    }
    assert_eq!(fail(&guesses, "ada", "192.0.2.9", 0), Err(1));
    assert_eq!(
        fail(&guesses, "eve", "192.0.2.9", 0),
        Ok(()),
        "others are free"
    );
    let mut now_ms = 0;
    let mut delays = Vec::new();
    for _ in 0..11 {
        let wait = fail(&guesses, "ada", "192.0.2.9", now_ms).unwrap_err();
        delays.push(wait);
        now_ms += wait * 1000;
        assert_eq!(fail(&guesses, "ada", "192.0.2.9", now_ms), Ok(()));
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    // Long afterwards it begins anew.
    now_ms += 3_700_000;
    for _ in 0..5 {
        assert_eq!(fail(&guesses, "ada", "192.0.2.9", now_ms), Ok(()));
    }
    assert_eq!(fail(&guesses, "ada", "192.0.2.9", now_ms), Err(1));
}

#[test]
fn an_address_is_slowed_down_whatever_account_it_tries() {
    let guesses = Guesses::new(GuessLimits::default());
    for number in 0..30 {
        let address = format!("2001:db8::{number}");
        assert_eq!(fail(&guesses, &number.to_string(), &address, 0), Ok(()));
    }
    assert_eq!(
        fail(&guesses, "new", "2001:db8::ffff", 0),
        Err(1),
        "one /64"
    );
    assert_eq!(fail(&guesses, "new", "2001:db8:0:1::1", 0), Ok(()));
    let devices = guesses.attempt(Target::Devices, ip("2001:db8::1"), 0);
    assert!(devices.is_err());
}

#[test]
fn what_was_right_is_forgiven() {
    let guesses = Guesses::new(GuessLimits::default());
    for _ in 0..1000 {
        let attempt = guesses.attempt(account("ada"), ip("192.0.2.1"), 0).unwrap();
        guesses.succeeded(&attempt);
    }
    for _ in 0..1000 {
        let attempt = guesses.attempt(account("ada"), ip("192.0.2.1"), 0).unwrap();
        guesses.withdrawn(&attempt);
    }
    assert_eq!(guesses.entries(), 0);
    // Others' failures from the same address stay.
    for _ in 0..4 {
        fail(&guesses, "eve", "192.0.2.1", 0).unwrap();
    }
    let attempt = guesses.attempt(account("eve"), ip("192.0.2.1"), 0).unwrap();
    guesses.succeeded(&attempt);
    assert_eq!(guesses.entries(), 1);
    for _ in 0..5 {
        fail(&guesses, "eve", "192.0.2.2", 0).unwrap();
    }
    assert!(fail(&guesses, "eve", "192.0.2.2", 0).is_err());
}

/// Attempts at once count before any of them is looked at.
#[test]
fn many_at_once_gain_nothing() {
    let guesses = Guesses::new(GuessLimits::default());
    let attempts: Vec<_> = (0..100)
        .map(|_| guesses.attempt(account("ada"), None, 0))
        .collect();
    assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 5);
}

#[test]
fn memory_is_bounded_and_those_who_fail_most_are_remembered() {
    let limits = GuessLimits {
        entries_max: 100,
        ..GuessLimits::default()
    };
    let guesses = Guesses::new(limits);
    for _ in 0..5 {
        fail(&guesses, "ada", "192.0.2.1", 0).unwrap();
    }
    for number in 0..10_000_u32 {
        let address = std::net::Ipv4Addr::from(number).to_string();
        fail(&guesses, &number.to_string(), &address, 1).unwrap();
        assert!(guesses.entries() <= 101);
    }
    assert!(fail(&guesses, "ada", "192.0.2.2", 1).is_err());
}
