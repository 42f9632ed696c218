use super::*;

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn hash_is_argon2id_with_the_stated_parameters_and_salted() {
    let passwords = Passwords::default();
    let first = passwords.hash(secret("correct horse")).await.unwrap();
    let second = passwords.hash(secret("correct horse")).await.unwrap();
    assert!(
        first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{first}"
    );
    assert_ne!(first, second);
    for stored in [first, second] {
        let right = passwords.verify(secret("correct horse"), Some(stored.clone()));
        assert_eq!(right.await, Ok(true));
        let wrong = passwords.verify(secret("correct horsf"), Some(stored));
        assert_eq!(wrong.await, Ok(false));
    }
}

/// Enumeration: the same answer and the same number of hash calls.
#[tokio::test]
async fn an_unknown_user_costs_the_same() {
    let passwords = Passwords::default();
    let stored = passwords.hash(secret("correct horse")).await.unwrap();
    let before = passwords.hash_calls();
    assert_eq!(
        passwords.verify(secret("wrong"), Some(stored)).await,
        Ok(false)
    );
    let known = passwords.hash_calls() - before;
    assert_eq!(passwords.verify(secret("wrong"), None).await, Ok(false));
    assert_eq!(passwords.hash_calls() - before - known, known);
    assert_eq!(known, 1);
}

#[tokio::test]
async fn a_damaged_hash_is_an_error_and_never_a_match() {
    let passwords = Passwords::default();
    for stored in ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$", "$scrypt$abc"] {
        let answer = passwords.verify(secret(""), Some(stored.to_owned())).await;
        assert_ne!(answer, Ok(true), "{stored}");
    }
}

/// Brute force: at most `parallel` hashes run, at most `waiting` wait, the rest is refused at once.
#[tokio::test]
async fn beyond_the_queue_callers_are_refused() {
    let passwords = Passwords::new(PasswordLimits {
        parallel: 1,
        waiting: 2,
    });
    // Somebody is being worked on for as long as the test likes.
    let inside = Arc::clone(&passwords.inside).try_acquire_owned().unwrap();
    let working = Arc::clone(&passwords.working).try_acquire_owned().unwrap();

    let mut queue: Vec<_> = (0..2)
        .map(|_| Box::pin(passwords.verify(secret("x"), None)))
        .collect();
    for waiting in &mut queue {
        let polled =
            std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx).is_ready()));
        assert!(!polled.await);
    }
    assert_eq!(
        passwords.verify(secret("x"), None).await,
        Err(PasswordError::Busy)
    );
    assert_eq!(passwords.hash_calls(), 0, "a refusal hashes nothing");

    // One in the queue gives up: its place is free again.
    drop(queue.pop());
    drop((inside, working));
    assert_eq!(queue.remove(0).await, Ok(false));
    assert_eq!(passwords.verify(secret("x"), None).await, Ok(false));
}

/// req: S5
#[test]
fn known_and_trivial_passwords_are_refused() {
    for known in [
        "admin",
        "ADMIN",
        "password",
        "Password1",
        "password123!",
        "changeme",
        "changeit",
        "admin123",
        "Welcome2024!",
        "wso2carbon",
        "letmein1",
        "secret",
        "root",
    ] {
        assert_eq!(
            check_strength(known, "admin"),
            Err(WeakPassword::Known),
            "{known}"
        );
    }
    for short in ["", "a", "kT4%xs9"] {
        assert_eq!(
            check_strength(short, "admin"),
            Err(WeakPassword::Short),
            "{short}"
        );
    }
    for trivial in [
        "aaaaaaaa",
        "12345678",
        "1234567890",
        "abcdefgh",
        "montgomery",
    ] {
        assert_eq!(
            check_strength(trivial, "Montgomery"),
            Err(WeakPassword::Trivial),
            "{trivial}"
        );
    }
    assert_eq!(
        check_strength(&"x1".repeat(600), "admin"),
        Err(WeakPassword::Long)
    );
    for good in ["kT4%xs9q", "correct horse battery staple", "größeres"] {
        assert_eq!(check_strength(good, "admin"), Ok(()), "{good}");
    }
}
