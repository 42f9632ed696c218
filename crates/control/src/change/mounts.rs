//! Where APIs are served: (gateway, host, path) belongs to one API, whatever the organisation.

use std::collections::HashMap;

use base::{Org, code};
use spec::{ApiSpec, Kind};

use super::Fault;
use super::work::Work;
use crate::catalogue::Held;
use crate::http::ApiResult;

/// One place; without a host it is every host that nobody else has.
type Place = (String, Option<String>, String);

/// The places that an API takes: on each gateway those of the revision that is served there, each with where its
/// document says so.
fn places(held: &Held) -> Vec<(Place, String)> {
    let mut places = Vec::new();
    for (index, deployment, api) in held.places() {
        let pointer = if deployment.revision.is_latest() {
            "/spec/context".to_owned()
        } else {
            format!("/spec/deployments/{index}/revision")
        };
        for host in hosts(api) {
            for path in paths(api) {
                let place = (deployment.gateway.clone(), host.clone(), path);
                places.push((place, pointer.clone()));
            }
        }
    }
    places
}

fn paths(api: &ApiSpec) -> Vec<String> {
    let mut paths = vec![format!("{}/{}", api.context, api.version)];
    if api.default_version {
        paths.push(api.context.clone());
    }
    paths
}

fn hosts(api: &ApiSpec) -> Vec<Option<String>> {
    if api.vhosts.is_empty() {
        return vec![None];
    }
    let lower = |host: &String| Some(host.to_ascii_lowercase());
    api.vhosts.iter().map(lower).collect()
}

/// Finds changed APIs that take a place of another one.
pub(super) async fn check(work: &mut Work<'_>) -> ApiResult<()> {
    let changed: Vec<usize> = (0..work.items.len())
        .filter(|index| {
            let item = &work.items[*index];
            item.document.kind() == Kind::Api && !item.unchanged()
        })
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let others = work.control.hub().catalogues().await?;
    let mut taken: HashMap<Place, Vec<(&Org, &str)>> = HashMap::new();
    let elsewhere = others
        .iter()
        .filter(|(org, _)| *org != work.caller.org)
        .map(|(org, catalogue)| (org, catalogue.as_ref()));
    for (org, catalogue) in elsewhere.chain([(&work.caller.org, &work.after)]) {
        for held in catalogue.of_kind(Kind::Api) {
            for (place, _) in places(held) {
                let holders = taken.entry(place).or_default();
                holders.push((org, held.document.name()));
            }
        }
    }
    let mut faults = Vec::new();
    for index in changed {
        let item = &work.items[index];
        let me = (&work.caller.org, item.document.name());
        let Some(held) = work.after.get(Kind::Api, me.1) else {
            continue;
        };
        let rival = places(held).into_iter().find_map(|(place, pointer)| {
            let other = taken.get(&place)?.iter().find(|other| **other != me)?;
            Some((place, pointer, *other))
        });
        if let Some((place, pointer, (org, name))) = rival {
            let holder = (org == me.0).then_some(name);
            faults.push((index, fault(&place, &pointer, holder)));
        }
    }
    for (index, fault) in faults {
        work.faults.push(&work.items[index].source, fault);
    }
    Ok(())
}

/// APIs of other organisations are not named.
fn fault((gateway, host, path): &Place, pointer: &str, name: Option<&str>) -> Fault {
    let host = host
        .as_ref()
        .map_or_else(String::new, |host| format!(" of the host {host}"));
    let by = name.map_or_else(
        || "an API of another organisation".to_owned(),
        |name| format!("the API `{name}`"),
    );
    Fault::against(
        code::CONFLICT,
        "mount-taken",
        pointer,
        format!("the path {path}{host} on the gateway `{gateway}` is taken by {by}"),
    )
    .mend("choose another context, version or host, or take `defaultVersion` away from the other one first")
}
