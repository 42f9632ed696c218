//! From a host and a path to an API.

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::Api;

type Table = HashMap<Box<str>, Arc<Api>, foldhash::fast::RandomState>;

/// Where APIs are mounted. The longest mount wins: as `/context/version` is longer than `/context`, an explicit
/// version wins over whatever the default version has at that path.
pub struct Mounts {
    /// By host; APIs without hosts are in `every`.
    hosts: HashMap<Box<str>, Table, foldhash::fast::RandomState>,
    every: Table,
    /// Segments of the deepest mount: deeper prefixes need no look-up.
    depth_max: usize,
    apis: Vec<Arc<Api>>,
}

/// Two APIs claim one mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The host; `None` = every host.
    pub host: Option<String>,
    /// The mount.
    pub mount: String,
    /// Document name of the API that keeps it.
    pub holder: String,
    /// Document name of the API that does not get it.
    pub loser: String,
}

impl Mounts {
    /// Mounts APIs; the first by (organisation, name) keeps a mount.
    pub fn new(apis: impl IntoIterator<Item = Arc<Api>>) -> (Self, Vec<Conflict>) {
        let mut apis: Vec<_> = apis.into_iter().collect();
        apis.sort_by(|a, b| (&a.org, &a.name).cmp(&(&b.org, &b.name)));
        let mut mounts = Self {
            hosts: HashMap::default(),
            every: Table::default(),
            depth_max: 0,
            apis: Vec::new(),
        };
        let mut conflicts = Vec::new();
        for api in &apis {
            for mount in &api.mounts {
                mounts.depth_max = mounts.depth_max.max(mount.matches('/').count());
                if api.vhosts.is_empty() {
                    conflicts.extend(claim(&mut mounts.every, None, mount, api));
                }
                for host in &api.vhosts {
                    let table = mounts.hosts.entry(host.as_str().into()).or_default();
                    conflicts.extend(claim(table, Some(host), mount, api));
                }
            }
        }
        mounts.apis = apis;
        (mounts, conflicts)
    }

    /// The API at a host and canonical path, and where the rest of the path begins. An API of this very host goes
    /// before one of every host, whatever the length of their mounts.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<(&Arc<Api>, usize)> {
        let named = if self.hosts.is_empty() {
            None
        } else {
            self.hosts.get(host)
        };
        named
            .and_then(|table| self.find_in(table, path))
            .or_else(|| self.find_in(&self.every, path))
    }

    fn find_in<'t>(&self, table: &'t Table, path: &str) -> Option<(&'t Arc<Api>, usize)> {
        let mut end = nth_slash(path, self.depth_max + 1);
        loop {
            if end == 0 {
                return None;
            }
            if let Some(api) = table.get(&path[..end]) {
                return Some((api, end));
            }
            end = path[..end].rfind('/')?;
        }
    }

    /// All APIs.
    pub fn apis(&self) -> impl Iterator<Item = &Arc<Api>> {
        self.apis.iter()
    }
}

/// Where the `n`-th slash stands (from 1), or the text's length when it has fewer.
fn nth_slash(path: &str, n: usize) -> usize {
    path.bytes()
        .enumerate()
        .filter(|(_, byte)| *byte == b'/')
        .nth(n - 1)
        .map_or(path.len(), |(at, _)| at)
}

fn claim(
    table: &mut Table,
    host: Option<&String>,
    mount: &str,
    api: &Arc<Api>,
) -> Option<Conflict> {
    if let Some(holder) = table.get(mount) {
        return Some(Conflict {
            host: host.cloned(),
            mount: mount.to_owned(),
            holder: holder.name.clone(),
            loser: api.name.clone(),
        });
    }
    table.insert(mount.into(), Arc::clone(api));
    None
}
