//! [`Zoned`]: an address as it can be given back to a command: a link-local one with its interface.

use super::link::Link;
use super::targets::{Path, ProbeTargets};
use serde::{Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;

/// An address, with its interface where it means something there alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zoned {
    /// The address.
    pub address: IpAddr,
    /// Name of the interface, of a link-local address.
    pub zone: Option<String>,
}

/// `address`, heard by `link`.
pub(crate) fn zoned(address: IpAddr, link: &Link) -> Zoned {
    let local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    Zoned { address, zone: local.then(|| link.interface.name.clone()) }
}

impl ProbeTargets {
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
            Some(zone) => write!(f, "{}%{zone}", self.address),
            None => self.address.fmt(f),
        }
    }
}

impl Serialize for Zoned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
