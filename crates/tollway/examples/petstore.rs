//! A small pet store: the backend of `make run`. It knows nothing of Tollway.
//!
//! Prints the address that it listens at, then serves until it is stopped.
#![expect(
    clippy::print_stdout,
    reason = "the caller reads the address from standard output"
)]

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize)]
struct Pet {
    id: usize,
    #[serde(flatten)]
    new: NewPet,
}

#[derive(Clone, Serialize, Deserialize)]
struct NewPet {
    name: String,
    kind: String,
}

type Pets = Arc<Mutex<Vec<NewPet>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let first = [("Rex", "dog"), ("Mia", "cat"), ("Tweety", "bird")];
    let pets: Pets = Arc::new(Mutex::new(
        first
            .map(|(name, kind)| NewPet {
                name: name.to_owned(),
                kind: kind.to_owned(),
            })
            .into(),
    ));
    let app = Router::new()
        .route("/pets", get(list).post(add))
        .route("/pets/{id}", get(one))
        .with_state(pets);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn list(State(pets): State<Pets>) -> Json<Vec<Pet>> {
    let pets = pets.lock().unwrap_or_else(PoisonError::into_inner);
    Json(
        pets.iter()
            .cloned()
            .enumerate()
            .map(|(at, new)| Pet { id: at + 1, new })
            .collect(),
    )
}

async fn one(State(pets): State<Pets>, Path(id): Path<usize>) -> Result<Json<Pet>, StatusCode> {
    let pets = pets.lock().unwrap_or_else(PoisonError::into_inner);
    let new = id
        .checked_sub(1)
        .and_then(|at| pets.get(at))
        .ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(Pet {
        id,
        new: new.clone(),
    }))
}

async fn add(State(pets): State<Pets>, Json(new): Json<NewPet>) -> (StatusCode, Json<Pet>) {
    let mut pets = pets.lock().unwrap_or_else(PoisonError::into_inner);
    pets.push(new.clone());
    (
        StatusCode::CREATED,
        Json(Pet {
            id: pets.len(),
            new,
        }),
    )
}
