//! [`Zoned`]: an address as it can be given back to a command: a link-local one with its interface.

use super::link::Link;
use super::targets::{Path, ProbeTargets};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Longest name of an interface.
const LONGEST: usize = 15;

/// An address, with its interface where it means something there alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zoned {
    /// The address.
    pub address: IpAddr,
    /// The interface, of a link-local address.
    pub zone: Option<Zone>,
}

/// The name of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone {
    /// Filled up with zeros, which no name has.
    name: [u8; LONGEST],
}

impl Zone {
    /// `None` if `name` cannot be that of an interface.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut own = [0; LONGEST];
        own.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        (!name.is_empty() && !name.contains('\0')).then_some(Self { name: own })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.name.iter().position(|&byte| byte == 0).unwrap_or(LONGEST);
        std::str::from_utf8(&self.name[..len]).unwrap_or_default()
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl Zoned {
    /// `address`, as heard in `zone`, which matters for link-local addresses alone.
    #[must_use]
    pub fn new(address: IpAddr, zone: Option<Zone>) -> Self {
        let local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        Self { address, zone: zone.filter(|_| local) }
    }
}

/// `address`, heard by `link`.
pub(crate) fn zoned(address: IpAddr, link: &Link) -> Zoned {
    Zoned::new(address, Zone::new(&link.interface.name))
}

impl ProbeTargets {
    /// Where link-local addresses are heard that answer for or about the target at this position.
    pub(crate) fn zone(&self, at: u32) -> Option<Zone> {
        let path = self.paths.get(at as usize)?;
        Zone::new(&self.link(path).interface.name)
    }

    /// `address`, which answers for or about the target of `path`.
    pub(crate) fn zoned(&self, path: &Path, address: IpAddr) -> Zoned {
        zoned(address, self.link(path))
    }
}

impl From<IpAddr> for Zoned {
    fn from(address: IpAddr) -> Self {
        Self { address, zone: None }
    }
}

impl PartialEq<IpAddr> for Zoned {
    fn eq(&self, other: &IpAddr) -> bool {
        self.address == *other
    }
}

impl fmt::Display for Zoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            // Columns have widths.
            Some(zone) => f.pad(&format!("{}%{}", self.address, zone.as_str())),
            None => self.address.fmt(f),
        }
    }
}

impl FromStr for Zoned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (text, None),
        };
        let no = || format!("{text} is not an address");
        let address = address.parse().map_err(|_| no())?;
        let zone = zone.map(|zone| Zone::new(zone).ok_or_else(no)).transpose()?;
        Ok(Self { address, zone })
    }
}

impl Serialize for Zoned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zoned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_address_has_its_zone_and_is_read_back() {
        let zone = Zone::new("eth0");
        let local = Zoned::new("fe80::1".parse().unwrap(), zone);
        assert_eq!((local.to_string(), local.zone), ("fe80::1%eth0".into(), zone));
        assert_eq!("fe80::1%eth0".parse(), Ok(local));
        for plain in ["192.0.2.1", "2001:db8::1"] {
            let address = Zoned::new(plain.parse().unwrap(), zone);
            assert_eq!((address.to_string(), plain.parse()), (plain.to_owned(), Ok(address)));
        }
        assert_eq!(format!("{local:>14}"), "  fe80::1%eth0");
        for bad in ["fe80::1%", "fe80::1%sixteen-letters-", "eth0", "%eth0", ""] {
            assert!(bad.parse::<Zoned>().is_err(), "{bad}");
        }
    }
}
