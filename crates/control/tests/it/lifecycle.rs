//! The life of an API (PB2 of the feature list).

use serde_json::{Value, json};

use crate::world::{World, subscription};

async fn go(world: &World, state: &str) -> crate::world::Answer {
    world
        .post(
            "paul",
            "/apis/pets-1.0.0/lifecycle",
            json!({"state": state}),
        )
        .await
}

#[tokio::test]
async fn an_api_moves_by_the_allowed_ways_only_and_its_history_is_kept() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    let now = world
        .get("paul", "/apis/pets-1.0.0/lifecycle")
        .await
        .expect(200);
    assert_eq!(now["state"], "Published");
    assert_eq!(
        now["allowed"],
        json!(["Prototyped", "Blocked", "Deprecated"])
    );
    let problem = go(&world, "Retired")
        .await
        .problem("TRANSITION_NOT_ALLOWED");
    let detail = problem["detail"].as_str().unwrap();
    for way in ["Prototyped", "Blocked", "Deprecated"] {
        assert!(detail.contains(way), "{detail}");
    }
    go(&world, "nowhere").await.problem("BAD_REQUEST");
    world.clock.advance_ms(5_000);
    go(&world, "blocked").await.expect(200);
    go(&world, "Deprecated").await.expect(200);
    let body = json!({"state": "Deprecated", "sunset": "2027-06-30"});
    let sunset = world
        .post("paul", "/apis/pets-1.0.0/lifecycle", body)
        .await
        .expect(200);
    assert_eq!(sunset["sunset"], "2027-06-30");
    let end = go(&world, "Retired").await.expect(200);
    assert_eq!(end["allowed"], json!([]));
    let steps: Vec<(&Value, &Value)> = end["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (&step["from"], &step["to"]))
        .collect();
    assert_eq!(
        steps,
        [
            (&Value::Null, &json!("Published")),
            (&json!("Published"), &json!("Blocked")),
            (&json!("Blocked"), &json!("Deprecated")),
            (&json!("Deprecated"), &json!("Retired")),
        ]
    );
    assert_eq!(end["history"][1]["actor"], "paul");
    let at = |index: usize| end["history"][index]["atUnixMs"].as_u64().unwrap();
    assert_eq!(at(1) - at(0), 5_000);
}

#[tokio::test]
async fn documents_move_by_the_same_ways() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    let mut document = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    document["spec"]["lifecycle"] = "Retired".into();
    let put = world
        .call("paul", "PUT", "/apis/pets-1.0.0", document.clone())
        .await;
    let problem = put.problem("TRANSITION_NOT_ALLOWED");
    assert_eq!(problem["errors"][0]["pointer"], "/spec/lifecycle");
    document["spec"]["lifecycle"] = "Blocked".into();
    world
        .call("paul", "PUT", "/apis/pets-1.0.0", document.clone())
        .await
        .expect(200);
    // A new document may begin anywhere.
    document["metadata"]["name"] = "old".into();
    document["spec"]["version"] = "0.1.0".into();
    document["spec"]["lifecycle"] = "Retired".into();
    document["spec"]["definition"] = json!({"inline": crate::world::PETS});
    world.post("paul", "/apis", document).await.expect(201);
}

#[tokio::test]
async fn only_a_published_api_takes_new_subscriptions() {
    let world = World::new().await;
    world.publish_pets("1.0.0").await;
    world.subscribed("sue", "shop").await;
    let application = json!({"kind": "Application", "metadata": {"name": "late"}, "spec": {}});
    world
        .post("sue", "/applications", application)
        .await
        .expect(201);
    for state in ["Prototyped", "Created"] {
        go(&world, state).await.expect(200);
        let late = world
            .post(
                "sue",
                "/subscriptions",
                subscription("late", "1.0.0", "Gold"),
            )
            .await;
        late.problem("CONFLICT");
    }
    go(&world, "Published").await.expect(200);
    go(&world, "Deprecated").await.expect(200);
    let late = world
        .post(
            "sue",
            "/subscriptions",
            subscription("late", "1.0.0", "Gold"),
        )
        .await;
    assert!(
        late.problem("CONFLICT")["detail"]
            .as_str()
            .unwrap()
            .contains("Deprecated")
    );
    // Whoever has one keeps it, and may change its plan.
    let other = subscription("shop", "1.0.0", "Silver");
    world
        .call("sue", "PUT", "/subscriptions/shop-pets-1.0.0", other)
        .await
        .expect(200);
}

#[tokio::test]
async fn nodes_get_what_the_state_means() {
    let world = World::new().await;
    let node = world.node("n1", "default");
    world.publish_pets("1.0.0").await;
    let gate = || node.see(|view| view.apis["pets-1.0.0"].gate.clone());
    assert_eq!(gate(), sync::Gate::Serve { deprecation: None });
    go(&world, "Blocked").await.expect(200);
    assert_eq!(gate(), sync::Gate::Blocked);
    world.clock.advance_ms(10_000);
    let since = base::Clock::unix_s(world.clock.as_ref());
    let body = json!({"state": "Deprecated", "sunset": "2027-06-30"});
    world
        .post("paul", "/apis/pets-1.0.0/lifecycle", body)
        .await
        .expect(200);
    world.clock.advance_ms(10_000);
    // A later change of the document does not move the date. (req: L2)
    let mut document = world.get("paul", "/apis/pets-1.0.0").await.expect(200);
    document["spec"]["plans"] = json!(["Gold", "Silver", "Bronze"]);
    world
        .call("paul", "PUT", "/apis/pets-1.0.0", document)
        .await
        .expect(200);
    let sync::Gate::Serve {
        deprecation: Some(deprecation),
    } = gate()
    else {
        panic!("{:?}", gate())
    };
    assert_eq!(deprecation.since_unix_s, since);
    assert_eq!(deprecation.sunset_unix_s, Some(1_814_313_600));
    go(&world, "Retired").await.expect(200);
    assert_eq!(gate(), sync::Gate::Retired, "a tombstone");
    world.delete("paul", "/apis/pets-1.0.0").await.expect(204);
    assert!(node.see(|view| view.apis.is_empty()), "gone");
}
