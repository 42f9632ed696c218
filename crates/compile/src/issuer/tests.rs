use expr::{Attributes, Value as Told};

use super::*;

/// The claims of a token, as conditions see them.
struct Token(Value);

impl Attributes for Token {
    fn value(&self, attribute: &Attribute) -> Option<Told<'_>> {
        match attribute {
            Attribute::Claim(name) => Some(Told::Json(self.0.get(name)?)),
            _ => None,
        }
    }
}

/// Whether all conditions of a preset hold of a token.
fn holds(preset: &Preset, claims: Value) -> bool {
    let token = Token(claims);
    let mut rules = preset.require.iter();
    rules.all(|rule| {
        let rule = Expr::compile(rule).expect("conditions of presets compile");
        assert!(rule.needs().iter().all(is_of_token), "{}", rule.source());
        rule.holds(&token).unwrap_or(false)
    })
}

/// Presets take access tokens for what they are, and ID tokens and others of the same product for what they are not.
#[test]
fn presets_tell_access_tokens_from_others() {
    for (preset, access, others) in [
        (
            &KEYCLOAK,
            vec![
                json!({"typ": "Bearer", "azp": "shop"}),
                json!({"typ": "DPoP", "azp": "shop"}),
            ],
            vec![
                json!({"typ": "ID", "azp": "shop"}),
                json!({"typ": "Refresh", "azp": "shop"}),
                json!({"typ": "Logout"}),
                json!({"azp": "shop"}),
            ],
        ),
        (
            &OKTA,
            vec![json!({"cid": "shop", "scp": ["a"]})],
            vec![json!({"aud": "shop", "amr": ["pwd"]})],
        ),
        (
            &ENTRA,
            // Version 1 has `appid`, version 2 `azp`.
            vec![
                json!({"appid": "shop", "ver": "1.0"}),
                json!({"azp": "shop", "ver": "2.0"}),
            ],
            vec![json!({"aud": "shop", "ver": "2.0", "nonce": "a"})],
        ),
        (
            &AUTH0,
            vec![json!({"azp": "shop"}), json!({"client_id": "shop"})],
            vec![json!({"aud": "shop", "nonce": "a", "sid": "b"})],
        ),
        (&WSO2, vec![json!({"client_id": "shop"})], vec![]),
        (&GENERAL, vec![json!({"client_id": "shop"})], vec![]),
    ] {
        for token in access {
            assert!(holds(preset, token.clone()), "{token}");
        }
        for token in others {
            assert!(!holds(preset, token.clone()), "{token}");
        }
    }
}

/// Without a condition of its own a preset takes no token whose header does not say that it is an access token.
#[test]
fn untyped_tokens_need_a_condition() {
    for preset in [&GENERAL, &KEYCLOAK, &OKTA, &ENTRA, &AUTH0, &WSO2] {
        let untyped = preset.types.contains(&TokenType::None);
        assert!(!untyped || !preset.require.is_empty());
    }
}
