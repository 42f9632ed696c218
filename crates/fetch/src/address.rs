//! Which addresses are whose: what a stranger's URL must not reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 space that is nobody's on the internet, or not for this (IANA special-purpose registry, RFC 6890; RFC 5771).
const SPECIAL_V4: [(Ipv4Addr, u8); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Within global unicast (2000::/3), the only IPv6 space that is reached at all: protocol assignments with Teredo,
/// documentation, 6to4, and documentation again (IANA special-purpose registry; RFC 9637).
const SPECIAL_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Where clouds tell machines their secrets. Some lie in space that is blocked anyway; all of them are blocked for
/// hosts that the allow-list names too, unless it names the address.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The address that is really meant: of IPv4 in IPv6 (mapped, RFC 4291 §2.5.5.2; NAT64, RFC 6052 §2.1) the IPv4 one.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Ipv4Addr::new(a, b, c, d).into()
        }
        _ => address,
    }
}

/// Whether it is a metadata service's.
pub(crate) fn is_metadata(address: IpAddr) -> bool {
    METADATA.contains(&address)
}

/// Whether a canonical address may be reached by anybody's URL.
pub(crate) fn is_public(address: IpAddr) -> bool {
    if is_metadata(address) {
        return false;
    }
    match address {
        IpAddr::V4(v4) => !SPECIAL_V4
            .iter()
            .any(|(net, prefix)| Ipv4Net::new_assert(*net, *prefix).contains(&v4)),
        IpAddr::V6(v6) => {
            v6.segments()[0] & 0xe000 == 0x2000
                && !SPECIAL_V6
                    .iter()
                    .any(|(net, prefix)| Ipv6Net::new_assert(*net, *prefix).contains(&v6))
        }
    }
}

/// What may be reached although it is not public.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Allow {
    hosts: Vec<String>,
    nets: Vec<IpNet>,
}

/// A text is no entry of an allow-list.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no host name, `*.` and a domain, address, or network such as 10.1.0.0/16")]
pub struct AllowError(String);

impl Allow {
    /// Reads entries: host names, `*.` and a domain for all hosts below it, addresses, networks.
    ///
    /// # Errors
    /// [`AllowError`] for the first entry that is none of these.
    pub fn parse<'e>(entries: impl IntoIterator<Item = &'e str>) -> Result<Self, AllowError> {
        let mut allow = Self::default();
        for entry in entries {
            let refused = || AllowError(entry.chars().take(200).collect());
            if let Ok(net) = entry.parse::<IpNet>() {
                allow.nets.push(net.trunc());
            } else if let Ok(address) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
                allow.nets.push(canonical(address).into());
            } else {
                let name = entry.strip_prefix("*.").unwrap_or(entry);
                let good = !name.is_empty()
                    && name.split('.').all(|label| {
                        !label.is_empty()
                            && label
                                .bytes()
                                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                    })
                    // What is all digits at its end is an address misspelt (WHATWG URL, "ends in a number").
                    && !name
                        .rsplit('.')
                        .next()
                        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
                if !good {
                    return Err(refused());
                }
                allow.hosts.push(entry.to_ascii_lowercase());
            }
        }
        Ok(allow)
    }

    /// Whether it names this host.
    pub(crate) fn has_host(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.hosts
            .iter()
            .any(|entry| match entry.strip_prefix('*') {
                Some(domain) => host.len() > domain.len() && host.ends_with(domain),
                None => *entry == host,
            })
    }

    /// Whether it names this address, or a network that it is in.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        self.nets.iter().any(|net| net.contains(&address))
    }

    /// Whether a connection to this address, found under this host, is allowed.
    pub(crate) fn permits(&self, host: &str, address: IpAddr) -> bool {
        let address = canonical(address);
        is_public(address)
            || self.has_address(address)
            || (!is_metadata(address) && self.has_host(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(allow: &Allow, host: &str, address: &str) -> bool {
        allow.permits(host, address.parse().unwrap())
    }

    // req: S7
    #[test]
    fn only_public_addresses_are_reached() {
        let none = Allow::default();
        for blocked in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.3",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.7",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
            "5f00::1",
        ] {
            assert!(!permits(&none, "example.com", blocked), "{blocked}");
        }
        for open in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(permits(&none, "example.com", open), "{open}");
        }
    }

    // req: S7
    #[test]
    fn an_allow_list_names_hosts_addresses_and_networks() {
        let entries = [
            "registry.local",
            "*.corp.example",
            "10.1.0.0/16",
            "127.0.0.1",
            "fd00::/8",
        ];
        let allow = Allow::parse(entries).unwrap();
        for (host, address) in [
            ("registry.local", "192.168.1.1"),
            ("Registry.Local.", "127.0.0.1"),
            ("a.corp.example", "10.9.9.9"),
            ("any", "10.1.2.3"),
            ("any", "::ffff:10.1.2.3"),
            ("any", "127.0.0.1"),
            ("any", "fd00::1"),
        ] {
            assert!(permits(&allow, host, address), "{host} {address}");
        }
        for (host, address) in [
            ("other.local", "192.168.1.1"),
            ("corp.example", "10.9.9.9"),
            ("evilcorp.example", "10.9.9.9"),
            ("any", "10.2.0.1"),
            ("any", "127.0.0.2"),
            // A name may be pointed anywhere by whoever owns it: metadata has to be named by its address.
            ("registry.local", "169.254.169.254"),
            ("registry.local", "100.100.100.200"),
        ] {
            assert!(!permits(&allow, host, address), "{host} {address}");
        }
        let metadata = Allow::parse(["169.254.169.254"]).unwrap();
        assert!(permits(&metadata, "any", "169.254.169.254"));
        for wrong in [
            "",
            "*",
            "*.",
            "a b",
            "http://x",
            "10.0.0.0/33",
            "1.2.3",
            "a..b",
            "127.1",
        ] {
            assert!(Allow::parse([wrong]).is_err(), "{wrong}");
        }
    }
}
