//! `tollway user`

use control::api::{NewUser, UserItem, paths};
use store::Role;

use super::args::{User, UserCreate};
use super::failure::Failure;
use super::{client, output, secret_from};

/// Carries out `tollway user …`.
pub(crate) async fn run(command: User) -> Result<(), Failure> {
    match command {
        User::Create(create) => self::create(&create).await,
        User::List(common) => {
            let users: Vec<UserItem> = client(&common.target)?.list(paths::USERS).await?;
            output::list(
                &users,
                common.output,
                &["NAME", "ROLES", "CREATED"],
                |user| {
                    vec![
                        user.name.clone(),
                        roles(&user.roles),
                        output::time(user.created_unix_ms),
                    ]
                },
            )
        }
        User::Delete(gone) => {
            client(&gone.target)?
                .delete(&format!("{}/{}", paths::USERS, paths::escaped(&gone.name)))
                .await?;
            eprintln!("deleted user {}", gone.name);
            Ok(())
        }
    }
}

async fn create(create: &UserCreate) -> Result<(), Failure> {
    let roles = create
        .roles
        .iter()
        .map(|role| parse(role))
        .collect::<Result<_, _>>()?;
    let password = secret_from(&create.password_file)?.expose().clone();
    let request = NewUser {
        name: create.name.clone(),
        password,
        roles,
    };
    let user: UserItem = client(&create.common.target)?
        .post(paths::USERS, &request)
        .await?;
    output::one(&user, create.common.output, |user| {
        format!("created user {}", user.name)
    })
}

fn parse(role: &str) -> Result<Role, Failure> {
    serde_json::from_value(role.into()).map_err(|_| {
        Failure::Usage(format!(
            "`{role}` is no role; roles are admin, publisher, subscriber"
        ))
    })
}

fn roles(roles: &[Role]) -> String {
    let value = serde_json::json!({ "roles": roles });
    output::text(&value, "/roles")
}
