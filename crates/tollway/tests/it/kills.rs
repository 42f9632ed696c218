//! `kill -9` of the whole platform while clients get, use, renew and revoke what they prove themselves with: nothing is
//! accepted twice, and nothing that was answered is lost (req: S9, T2, T4).
//!
//! The process that is killed is `tollway up`, with authorization server, gateway and database; on PostgreSQL the server with
//! all its processes is killed too in every third round. Each round has its clients ([`actors`]), who note what they were
//! answered as claims ([`claims`]); after the restart each claim is held against the platform. What got no answer may
//! have happened or not, but not twice and not by half.
//!
//! `IDENTITY_CRASH_ROUNDS=100 cargo test -p tollway --test it -- kills:: --nocapture` plays more rounds than CI does.

mod actors;
pub(crate) mod claims;
pub(crate) mod site;
pub(crate) mod tab;
mod withdrawing;

use std::sync::Arc;
use std::time::Duration;

use parts::Postgres;
use tokio::runtime::Runtime;

use crate::platform::{PATIENCE, User};
use claims::{Claim, Ledger, Tested};
use site::{Backend, Site};

/// Rounds: a handful in CI, as many as are asked for otherwise.
fn rounds() -> usize {
    std::env::var("IDENTITY_CRASH_ROUNDS").map_or(3, |text| text.parse().unwrap())
}

/// Answers that a round has before it may end.
const ANSWERS: usize = 25;
/// … and how long it may go on after them, at most, in milliseconds.
const FURTHER_MS: u64 = 400;
/// What is refused for ever is asked for again in later rounds; so much of it is kept.
const KEPT: usize = 60;

const FLAGS: [&str; 4] = [
    // A restart of a debug build beside other tests may take long; a code should not end meanwhile. Longer ones are not given.
    "--identity-code-lifetime",
    "1m",
    // Then what was renewed without an answer may be renewed again, and has to be.
    "--identity-refresh-grace",
    "1h",
];

#[test]
fn what_was_answered_holds_after_a_kill() {
    play(None, |_| {});
}

#[test]
fn what_was_answered_holds_after_a_kill_on_postgresql() {
    let server = Postgres::start();
    let url = server.database();
    play(Some(url), |when| match when {
        Moment::Before => server.kill(),
        Moment::After => server.restart(),
    });
}

/// The server of the database is killed before the platform is, and started again after it.
#[derive(Clone, Copy)]
enum Moment {
    Before,
    After,
}

#[expect(clippy::print_stdout, reason = "how much was played is told")]
fn play(database: Option<String>, server: impl Fn(Moment)) {
    let runtime = Runtime::new().unwrap();
    let with_server = database.is_some();
    let mut user = User::started(database, &FLAGS);
    let backend = Backend::start();
    let scene = runtime.block_on(actors::Scene::prepare(&user, &backend));
    let scene = Arc::new(scene);
    let mut old: Vec<Claim> = Vec::new();
    let (mut answers, mut servers, mut tested) = (0, 0, Tested::default());
    for round in 0..rounds() {
        let ledger = Ledger::new();
        let site = Site::of(&user);
        let playing = {
            let _inside = runtime.enter();
            actors::play(&scene, &site, &ledger, round)
        };
        runtime.block_on(ledger.until(ANSWERS, PATIENCE));
        let random = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
        std::thread::sleep(Duration::from_millis(random * FURTHER_MS / 255));
        let kills_server = with_server && round % 3 == 2;
        if kills_server {
            server(Moment::Before);
            servers += 1;
        }
        user = user.crash_and(|| {
            if kills_server {
                server(Moment::After);
            }
        });
        runtime.block_on(playing.ended());
        let (count, claims) = ledger.close();
        answers += count;
        let site = Site::of(&user);
        runtime.block_on(claims::hold(&site, &scene, &old, claims, &mut tested));
        old.append(&mut tested.for_ever);
        let surplus = old.len().saturating_sub(KEPT);
        old.drain(..surplus);
    }
    println!(
        "{} kills ({servers} of the database too), {answers} answers; held: {tested}",
        rounds()
    );
    assert!(answers >= rounds() * ANSWERS);
}
