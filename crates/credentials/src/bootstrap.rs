//! The first start: somebody must be able to log in, and nobody else.

use base::{Clock, Org, Secret, UserId};
use store::{Batch, Expect, Role, Store, StoreError, User, Write};

use crate::passwords::{PasswordError, Passwords, WeakPassword, check_strength};
use crate::random::{NoRandomness, random_text};

/// The name of the user that the first start creates.
pub const ADMIN: &str = "admin";
/// Bits of its password when nobody chose one.
const PASSWORD_BITS: usize = 128;

/// What the first start did.
#[derive(Debug)]
pub struct Bootstrap {
    /// Whether the user was created; not on a database that has users.
    pub created: bool,
    /// The password, when it was made here: print it, it is kept nowhere.
    pub admin_password: Option<Secret<String>>,
}

/// Why the first start failed.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The password that was given is refused (req: S5).
    #[error("the password given for `{ADMIN}` is refused: {0}")]
    Weak(WeakPassword),
    /// It could not be hashed.
    #[error("the password of `{ADMIN}` could not be hashed")]
    Password(#[source] PasswordError),
    /// None could be made.
    #[error("no password could be made for `{ADMIN}`")]
    Random(#[source] NoRandomness),
    /// The store's.
    #[error("the user `{ADMIN}` could not be stored")]
    Store(#[source] StoreError),
}

/// Makes the user [`ADMIN`] of the organisation `default` with the password `given`, or a random one.
/// Does nothing, and does not look at `given`, when the organisation has a user.
///
/// # Errors
/// [`BootstrapError`]; nothing was stored then.
pub async fn bootstrap(
    store: &dyn Store,
    passwords: &Passwords,
    clock: &dyn Clock,
    given: Option<Secret<String>>,
) -> Result<Bootstrap, BootstrapError> {
    let nothing = Bootstrap {
        created: false,
        admin_password: None,
    };
    let org = Org::default_org();
    let users = store.user_list(&org).await.map_err(BootstrapError::Store)?;
    if !users.is_empty() {
        return Ok(nothing);
    }
    let (password, made) = match given {
        Some(password) => {
            check_strength(password.expose(), ADMIN).map_err(BootstrapError::Weak)?;
            (password, None)
        }
        None => {
            let text = random_text("", PASSWORD_BITS).map_err(BootstrapError::Random)?;
            let password = Secret::new(text);
            (password.clone(), Some(password))
        }
    };
    let password_hash = passwords
        .hash(password)
        .await
        .map_err(BootstrapError::Password)?;
    let now = clock.unix_ms();
    let user = User {
        id: UserId::generate(),
        org: org.clone(),
        name: ADMIN.to_owned(),
        password_hash,
        roles: vec![Role::Admin],
        created_unix_ms: now,
    };
    let batch = Batch {
        org,
        actor: "system".to_owned(),
        at_unix_ms: now,
        request: None,
        writes: vec![Write::UserPut(user, Expect::Absent)],
    };
    match store.commit(batch).await {
        Ok(_) => Ok(Bootstrap {
            created: true,
            admin_password: made,
        }),
        // Another process was first: its password is the one that counts.
        Err(StoreError::Exists(_)) => Ok(nothing),
        Err(error) => Err(BootstrapError::Store(error)),
    }
}
