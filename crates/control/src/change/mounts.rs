//! Where APIs are served: (gateway, host, path) belongs to one API, whatever the organisation.

use std::collections::HashMap;

use base::{Org, code};
use spec::{ApiSpec, Kind};

use super::Fault;
use super::work::Work;
use crate::http::ApiResult;

/// One place; without a host it is every host that nobody else has.
type Place = (String, Option<String>, String);

/// The places that an API takes.
fn places(api: &ApiSpec) -> Vec<Place> {
    let mut paths = vec![format!("{}/{}", api.context, api.version)];
    if api.default_version {
        paths.push(api.context.clone());
    }
    let hosts: Vec<Option<String>> = if api.vhosts.is_empty() {
        vec![None]
    } else {
        let lower = |host: &String| Some(host.to_ascii_lowercase());
        api.vhosts.iter().map(lower).collect()
    };
    let mut places = Vec::new();
    for deployment in &api.deployments {
        for host in &hosts {
            for path in &paths {
                places.push((deployment.gateway.clone(), host.clone(), path.clone()));
            }
        }
    }
    places
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
    let here = (&work.caller.org, work.after.apis().collect::<Vec<_>>());
    let elsewhere = others
        .iter()
        .filter(|(org, _)| *org != work.caller.org)
        .map(|(org, catalogue)| (org, catalogue.apis().collect()));
    for (org, apis) in elsewhere.chain([here]) {
        for (name, api) in apis {
            for place in places(api) {
                taken.entry(place).or_default().push((org, name));
            }
        }
    }
    let mut faults = Vec::new();
    for index in changed {
        let item = &work.items[index];
        let Some(api) = item.document.as_api() else {
            continue;
        };
        let me = (&work.caller.org, item.document.name());
        let rival = places(api).into_iter().find_map(|place| {
            let other = taken.get(&place)?.iter().find(|other| **other != me)?;
            Some((place, *other))
        });
        if let Some((place, (org, name))) = rival {
            faults.push((index, fault(&place, (org == me.0).then_some(name))));
        }
    }
    for (index, fault) in faults {
        work.faults.push(&work.items[index].source, fault);
    }
    Ok(())
}

/// APIs of other organisations are not named.
fn fault((gateway, host, path): &Place, name: Option<&str>) -> Fault {
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
        "/spec/context",
        format!("the path {path}{host} on the gateway `{gateway}` is taken by {by}"),
    )
    .mend("choose another context, version or host, or take `defaultVersion` away from the other one first")
}
