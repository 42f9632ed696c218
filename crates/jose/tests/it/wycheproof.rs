//! Wycheproof's JSON Web Signature vectors, at the level of one JWS and one key.

use std::path::Path;

use jose::{BYTES_MAX_DEFAULT, Jwk, verify_jws};
use serde_json::Value;

/// Valid vectors that are refused here, and why.
const REFUSED: &[(u64, &str)] = &[
    // HS256: no symmetric key is a public key.
    (1, "private member \"k\""),
    (348, "private member \"k\""),
    (352, "private member \"k\""),
    // RFC 7520 figure 20 is PS384 with a key whose `alg` pins it to PS256.
    (346, "alg PS384 does not match the key's PS256"),
    (350, "alg PS384 does not match the key's PS256"),
];

fn accepted(jwk: &Value, token: &str) -> Result<(), String> {
    let key = Jwk::from_json(&jwk.to_string(), None).map_err(|error| error.to_string())?;
    verify_jws(token, &key, BYTES_MAX_DEFAULT)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// RFC 7520 §4: each signature verifies with a key that is pinned to what the example uses.
fn rfc_7520(jwk: &Value, token: &str, id: u64) {
    let mut jwk = jwk.clone();
    let members = jwk.as_object_mut().unwrap();
    members.insert("alg".to_owned(), "PS384".into());
    assert_eq!(accepted(&jwk, token), Ok(()), "tcId {id}");
}

#[test]
fn wycheproof_json_web_signature() {
    let Some(corpus) = std::env::var_os("TOLLWAY_CORPUS") else {
        println!("skipped: TOLLWAY_CORPUS is not set");
        return;
    };
    let path = Path::new(&corpus).join("wycheproof/json_web_signature.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (mut valid, mut invalid, mut wrong) = (0, 0, Vec::new());
    for group in vectors["testGroups"].as_array().unwrap() {
        // A group without a public key has a symmetric one.
        let key = group.get("public").unwrap_or(&group["private"]);
        for test in group["tests"].as_array().unwrap() {
            let (id, token) = (
                test["tcId"].as_u64().unwrap(),
                test["jws"].as_str().unwrap(),
            );
            let outcome = accepted(key, token);
            if [346, 350].contains(&id) {
                rfc_7520(key, token, id);
            }
            let listed = REFUSED.iter().find(|(refused, _)| *refused == id);
            let as_stated = match (test["result"].as_str().unwrap(), listed) {
                ("valid", None) => outcome.is_ok(),
                ("valid", Some((_, reason))) => {
                    outcome.as_ref().is_err_and(|error| error.contains(reason))
                }
                ("invalid", _) => outcome.is_err(),
                _ => true,
            };
            let counted = if test["result"] == "valid" {
                &mut valid
            } else {
                &mut invalid
            };
            *counted += 1;
            if !as_stated {
                wrong.push(format!(
                    "tcId {id} ({}, {}): {outcome:?}",
                    test["comment"], test["result"]
                ));
            }
        }
    }
    assert!(
        valid > 20 && invalid > 300,
        "the corpus holds {valid} valid and {invalid} invalid vectors"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
