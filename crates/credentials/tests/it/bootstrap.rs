use std::sync::atomic::Ordering;

use base::{ManualClock, Org, Secret};
use credentials::{Bootstrap, BootstrapError, PasswordLimits, Passwords, WeakPassword, bootstrap};
use store::{CredentialStore, Role};

use crate::memory::Memory;

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

async fn start(store: &Memory, given: Option<&str>) -> Result<Bootstrap, BootstrapError> {
    let passwords = Passwords::new(PasswordLimits::default());
    let clock = ManualClock::at(1_700_000_000_000);
    bootstrap(store, &passwords, &clock, given.map(secret)).await
}

/// req: S5
#[tokio::test]
async fn first_start_makes_an_admin_with_a_random_password_once() {
    let store = Memory::default();
    let first = start(&store, None).await.unwrap();
    assert!(first.created);
    let password = first.admin_password.unwrap();
    assert!(
        password.expose().len() >= 26,
        "130 bits of 5 bits a character"
    );

    let user = store
        .user_get(&Org::default_org(), "admin")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(user.roles, [Role::Admin]);
    assert!(!format!("{user:?}").contains("argon2"));
    let passwords = Passwords::default();
    let stored = Some(user.password_hash.clone());
    assert_eq!(passwords.verify(password, stored).await, Ok(true));

    let second = start(&store, None).await.unwrap();
    assert!(!second.created && second.admin_password.is_none());
    assert!(store.rows().users == [user], "nothing changed");

    let elsewhere = Memory::default();
    let other = start(&elsewhere, None)
        .await
        .unwrap()
        .admin_password
        .unwrap();
    let stored = Some(store.rows().users[0].password_hash.clone());
    assert_eq!(
        passwords.verify(other, stored).await,
        Ok(false),
        "each is unique"
    );
}

#[tokio::test]
async fn a_given_password_is_taken_and_never_given_back() {
    let store = Memory::default();
    let done = start(&store, Some("kT4%xs9q-long")).await.unwrap();
    assert!(done.created && done.admin_password.is_none());
    let stored = Some(store.rows().users[0].password_hash.clone());
    let verified = Passwords::default()
        .verify(secret("kT4%xs9q-long"), stored)
        .await;
    assert_eq!(verified, Ok(true));
}

/// The flag `--admin-password-file` stays in the unit file for ever: it must not reset anything.
#[tokio::test]
async fn a_given_password_is_harmless_on_a_database_with_users() {
    let store = Memory::default();
    start(&store, Some("kT4%xs9q-long")).await.unwrap();
    let before = store.rows().users.clone();
    for given in ["another-password-x", "admin", ""] {
        let done = start(&store, Some(given)).await.unwrap();
        assert!(!done.created && done.admin_password.is_none());
    }
    assert!(store.rows().users == before);
}

/// req: S5
#[tokio::test]
async fn known_defaults_refuse_to_boot() {
    for given in [
        "",
        "admin",
        "password",
        "changeme",
        "Admin123",
        "wso2carbon",
        "tollway",
    ] {
        let store = Memory::default();
        let error = start(&store, Some(given)).await.unwrap_err();
        assert!(
            matches!(
                error,
                BootstrapError::Weak(WeakPassword::Known | WeakPassword::Short)
            ),
            "{given}: {error}"
        );
        assert!(store.rows().users.is_empty());
        assert!(!error.to_string().contains("carbon"), "never repeated");
    }
}

#[tokio::test]
async fn a_failing_store_is_said_and_gives_no_password() {
    let store = Memory::default();
    store.failing.store(true, Ordering::SeqCst);
    let error = start(&store, None).await.unwrap_err();
    assert!(matches!(error, BootstrapError::Store(_)));
}

/// Two processes on one new database: one password counts, and only that one is printed.
#[tokio::test]
async fn of_two_first_starts_at_once_one_makes_the_admin() {
    let store = Memory::default();
    let (one, two) = tokio::join!(start(&store, None), start(&store, None));
    let made: Vec<_> = [one.unwrap(), two.unwrap()]
        .into_iter()
        .filter_map(|done| done.admin_password)
        .collect();
    assert_eq!(made.len(), 1);
    assert_eq!(store.rows().users.len(), 1);
    let stored = Some(store.rows().users[0].password_hash.clone());
    let password = made.into_iter().next().unwrap();
    assert_eq!(
        Passwords::default().verify(password, stored).await,
        Ok(true)
    );
}
