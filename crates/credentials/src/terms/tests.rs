use super::*;

const EVERYWHERE: &str = "urn:tollway:default:gateway";

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn terms() -> TokenTerms {
    TokenTerms {
        scopes: set(&["admin", "read", "write"]),
        lifetime_s: Some(3600),
        format: TokenFormat::Jwt,
        apis: vec![
            ApiTerms {
                name: "pets-1.0.0".to_owned(),
                audiences: list(&["urn:tollway:default:api:pets-1.0.0", EVERYWHERE]),
                scopes: set(&["admin", "read", "write"]),
                roles: [("admin".to_owned(), set(&["admin", "publisher"]))].into(),
                lifetime_s_max: Some(600),
                ..ApiTerms::default()
            },
            ApiTerms {
                name: "cats-1.0.0".to_owned(),
                audiences: list(&["https://cats.example"]),
                scopes: set(&["read", "admin"]),
                roles: [("admin".to_owned(), set(&["admin"]))].into(),
                lifetime_s_max: None,
                ..ApiTerms::default()
            },
        ],
    }
}

#[test]
fn a_client_has_what_it_is_registered_for() {
    let own = ClientMetadata {
        scopes: Some(set(&["read", "other"])),
        access_token_lifetime_s: Some(60),
        access_token_format: Some(TokenFormat::Opaque),
        ..ClientMetadata::default()
    };
    let narrowed = terms().for_client(&own);
    assert_eq!(narrowed.scopes, set(&["read"]));
    assert_eq!(narrowed.apis[0].scopes, set(&["read"]));
    assert_eq!(narrowed.lifetime_s, Some(60));
    assert_eq!(narrowed.format, TokenFormat::Opaque);
    assert_eq!(terms().for_client(&ClientMetadata::default()), terms());
}

#[test]
fn a_scope_bound_to_roles_needs_one_of_them_in_every_api() {
    let of = |roles: &[Role]| terms().for_user(roles).scopes;
    assert_eq!(of(&[Role::Admin]), set(&["admin", "read", "write"]));
    assert_eq!(
        of(&[Role::Publisher]),
        set(&["read", "write"]),
        "cats say no"
    );
    assert_eq!(of(&[]), set(&["read", "write"]));
}

#[test]
fn resources_are_those_of_subscribed_apis() {
    let of = |resources: &[&str]| terms().for_resources(&list(resources));
    assert_eq!(of(&[]).unwrap(), terms());
    assert_eq!(
        of(&["https://cats.example"]).unwrap().scopes,
        set(&["admin", "read"])
    );
    assert_eq!(of(&[EVERYWHERE]).unwrap().apis.len(), 1);
    let refused = of(&["https://cats.example", "https://dogs.example"]).unwrap_err();
    assert_eq!(refused.0, "https://dogs.example");
}

#[test]
fn the_strictest_api_that_takes_the_token_decides_its_lifetime() {
    let of = |audience: &[&str]| terms().lifetime_of(&list(audience), EVERYWHERE);
    assert_eq!(of(&[]), Some(600));
    assert_eq!(of(&["https://cats.example"]), Some(3600));
    assert_eq!(
        of(&["https://cats.example", "urn:tollway:default:api:pets-1.0.0"]),
        Some(600)
    );
    let mut none = terms();
    none.lifetime_s = None;
    assert_eq!(
        none.lifetime_of(&list(&["https://cats.example"]), EVERYWHERE),
        None
    );
}
